package gguf

import (
	"math"
	"slices"
)

// WriteProjector writes the eye of a model that sees: a projector of LLaVA's kind, of
// two blocks of zero weights, which turns every image into four tokens that say nothing.
func WriteProjector(path string) error {
	const image, patch, width, blocks = 28, 14, 32, 2
	mean := func(name string, value float32) key {
		return func(w *writer) {
			w.array(name, typeFloat32, 3)
			for range 3 {
				w.uint32(math.Float32bits(value))
			}
		}
	}
	keys := []key{
		text("general.architecture", "clip"), text("general.name", "eye"), number("general.file_type", 0),
		yes("clip.has_vision_encoder", true), text("clip.projector_type", "mlp"), yes("clip.use_gelu", true),
		number("clip.vision.image_size", image), number("clip.vision.patch_size", patch), number("clip.vision.embedding_length", width),
		number("clip.vision.feed_forward_length", width), number("clip.vision.projection_dim", dim), number("clip.vision.block_count", blocks),
		number("clip.vision.attention.head_count", 1), fraction("clip.vision.attention.layer_norm_epsilon", 1e-5),
		mean("clip.vision.image_mean", 0.5), mean("clip.vision.image_std", 0.5),
	}
	zeros := func(name string, shape ...uint64) tensor { return tensor{name: name, shape: shape} }
	ones := func(name string, n int) tensor {
		return tensor{name: name, shape: []uint64{uint64(n)}, usual: slices.Repeat([]float32{1}, n)}
	}
	tensors := []tensor{
		zeros("v.patch_embd.weight", patch, patch, 3, width), zeros("v.class_embd", width), zeros("v.position_embd.weight", width, (image/patch)*(image/patch)+1),
		ones("v.pre_ln.weight", width), zeros("v.pre_ln.bias", width),
		zeros("mm.0.weight", width, dim), zeros("mm.0.bias", dim), zeros("mm.2.weight", dim, dim), zeros("mm.2.bias", dim),
	}
	for _, block := range []string{"v.blk.0.", "v.blk.1."} {
		for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"} {
			tensors = append(tensors, zeros(block+name+".weight", width, width), zeros(block+name+".bias", width))
		}
		for _, name := range []string{"ln1", "ln2"} {
			tensors = append(tensors, ones(block+name+".weight", width), zeros(block+name+".bias", width))
		}
	}
	return writeFile(path, keys, tensors, 0)
}
