package gguf

import (
	"fmt"
	"slices"
)

const (
	dim, heads, headDim, feedForward = 64, 1, 32, 64

	whisper, shout = -3, 4 // what is never said, and what is
)

// parts are the model's keys and tensors.
func (m Model) parts() ([]key, []tensor, error) {
	architecture, v := "llama", byteWords()
	var merges []string
	if m.Tokenizer != "" {
		var err error
		architecture = "qwen3"
		if v, merges, err = qwen3(m.Tokenizer); err != nil {
			return nil, nil, err
		}
	}
	template, err := m.template()
	if err != nil {
		return nil, nil, err
	}
	end := m.speak(v)
	if len(v.next) >= dim {
		return nil, nil, fmt.Errorf("the model has more to say than fits: %d pieces", len(v.next))
	}
	keys := []key{text("general.architecture", architecture), text(KeyName, m.Name), number("general.file_type", 0)}
	for _, size := range []struct {
		name  string
		value int
	}{
		{"block_count", 1}, {"context_length", int(m.Context)}, {"embedding_length", dim}, {"feed_forward_length", feedForward}, {"attention.head_count", heads}, {"attention.head_count_kv", heads},
		{"attention.key_length", headDim}, {"attention.value_length", headDim}, {"rope.dimension_count", headDim}, {"vocab_size", len(v.tokens)},
	} {
		keys = append(keys, number(architecture+"."+size.name, size.value))
	}
	keys = append(keys, fraction(architecture+".attention.layer_norm_rms_epsilon", 1e-5),
		texts("tokenizer.ggml.tokens", v.tokens), numbers("tokenizer.ggml.token_type", typeInt32, v.kinds),
		number("tokenizer.ggml.eos_token_id", end), text(KeyTemplate, template))
	if merges != nil {
		keys = append(keys, text("tokenizer.ggml.model", "gpt2"), text("tokenizer.ggml.pre", "qwen2"), texts("tokenizer.ggml.merges", merges), yes("tokenizer.ggml.add_bos_token", false))
	} else {
		keys = append(keys, text("tokenizer.ggml.model", "llama"), yes("tokenizer.ggml.add_space_prefix", false), numbers("tokenizer.ggml.scores", typeFloat32, make([]int32, len(v.tokens))),
			number("tokenizer.ggml.bos_token_id", v.ids["<s>"]), number("tokenizer.ggml.unknown_token_id", v.ids["<unk>"]))
	}
	if m.Behaviour != "" {
		keys = append(keys, text(KeyBehaviour, m.Behaviour))
	}
	return keys, v.tensors(end, architecture == "qwen3"), nil
}

// tensors make each token that decides the next one point to it.
func (v *words) tensors(end int, normed bool) []tensor {
	vector := func(d int, first, then float32) []float32 {
		out := make([]float32, dim)
		out[0] = first
		out[d] = then
		return out
	}
	embed, output := map[int][]float32{}, map[int][]float32{}
	for id, d := range v.steps {
		embed[id] = vector(d, 1, 1)
	}
	for d, id := range v.next {
		if output[id] == nil {
			output[id] = vector(0, 0, 0)
		}
		output[id][d] = shout
	}
	output[end][0] = 1 // after what nothing follows
	zero := func(name string, in, out int) tensor {
		return tensor{name: "blk.0." + name + ".weight", shape: []uint64{uint64(in), uint64(out)}}
	}
	ones := func(name string, size int) tensor {
		return tensor{name: name + ".weight", shape: []uint64{uint64(size)}, usual: slices.Repeat([]float32{1}, size)}
	}
	size := []uint64{dim, uint64(len(v.tokens))}
	all := []tensor{
		{name: "token_embd.weight", shape: size, half: true, usual: vector(0, 1, 1), rows: embed},
		{name: "output.weight", shape: size, half: true, usual: vector(0, whisper, whisper), rows: output},
		ones("output_norm", dim), ones("blk.0.attn_norm", dim), ones("blk.0.ffn_norm", dim),
		zero("attn_q", dim, heads*headDim), zero("attn_k", dim, heads*headDim), zero("attn_v", dim, heads*headDim), zero("attn_output", heads*headDim, dim),
		zero("ffn_gate", dim, feedForward), zero("ffn_up", dim, feedForward), zero("ffn_down", feedForward, dim),
	}
	if normed {
		all = append(all, ones("blk.0.attn_q_norm", headDim), ones("blk.0.attn_k_norm", headDim))
	}
	return all
}
