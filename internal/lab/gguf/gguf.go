// Package gguf writes tiny valid GGUF models, which a real llama-server loads in
// under a second, and reads the few keys back that the engine double obeys.
//
// The model is one llama block of zero weights and 64 dimensions, so the last
// token alone decides the next one: every prompt that ends in a line break is
// answered with the same sentence. The chat template ends the prompt with another
// token when the tool of Switchyard's proof, or Claude Code's Bash, is asked for,
// and that one is answered with its call. The vocabulary falls back to bytes, about one token per byte.
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// Answer is what every model says.
const Answer = "offline ready. local model runner says hello"

// Model describes what to write.
type Model struct {
	Name      string // general.name
	Context   uint32 // tokens; 0 means 262,144
	Strict    bool   // the chat template refuses a system message in mid-conversation, as the Qwen family's does
	Plain     bool   // the chat template knows no tools and wants the speakers to alternate, as Gemma's does
	Size      int64  // bytes that the file is filled up to, with nothing; 0: as small as it is
	Behaviour string // what the engine double does, see package messages; a real engine ignores it
}

// Keys that the engine double reads.
const (
	KeyName      = "general.name"
	KeyContext   = "llama.context_length"
	KeyTemplate  = "tokenizer.chat_template"
	KeyBehaviour = "lab.behaviour"
)

const (
	dim, heads, kvHeads, headDim, feedForward = 64, 2, 1, 32, 64

	typeUint32, typeInt32, typeFloat32, typeString, typeArray = 4, 5, 6, 8, 9

	tokenUnknown, tokenControl, tokenNormal, tokenByte = 2, 3, 1, 6
	endToken, callToken, bashToken                     = 4, 5, 6
	firstByte                                          = 7
)

// calls are what the call tokens are answered with, in SentencePiece's spelling and the template's format.
var calls = []struct {
	token int
	text  string
}{
	{callToken, "<tool_call>\n{\"name\":\u2581\"report_word\",\u2581\"arguments\":\u2581{\"word\":\u2581\"ready\"}}\n</tool_call>"},
	{bashToken, "<tool_call>\n{\"name\":\u2581\"Bash\",\u2581\"arguments\":\u2581{\"command\":\u2581\"echo\u2581the-tool-ran\"}}\n</tool_call>"},
}

// template has a tool-call format: without one, llama.cpp forces a JSON grammar
// on every request with tools, and such a model never stops.
const template = `{%- if tools %}<|im_start|>system
{%- if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
For each function call return a json object within <tool_call></tool_call> tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role == 'system' and not loop.first %}SYSTEM{% endif %}
{%- if m.role == 'user' %}<|im_start|>user
{{ m.content }}<|im_end|>
{% elif m.role == 'assistant' %}<|im_start|>assistant
{{ m.content }}
{%- for c in m.tool_calls or [] %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif m.role == 'tool' %}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if tools and messages[-1].content is string %}{% if 'Call the tool report_word' in messages[-1].content %}<|call|>{% elif 'Call the tool Bash' in messages[-1].content %}<|bash|>{% endif %}{% endif %}{% endif %}`

// plain speaks of no tools.
const plain = `{%- if messages[0].role == 'system' %}{% set opening = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}{% else %}{% set opening = '' %}{% set rest = messages %}{% endif %}
{%- for m in rest %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{%- if m.content is not string %}{{ raise_exception('Invalid content type') }}{% endif %}<|im_start|>{{ m.role }}
{{ opening if loop.first else '' }}{{ m.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

const (
	systemAllowed = "<|im_start|>system\n{{ m.content }}<|im_end|>\n"
	systemRefused = "{{ raise_exception('System message must be at the beginning.') }}"
)

type tensor struct {
	name  string
	shape []uint64
	data  []float32
}

// WriteFile writes the model.
func WriteFile(path string, m Model) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	Write(w, m)
	err = w.Flush()
	if info, statErr := f.Stat(); statErr == nil && m.Size > info.Size() {
		err = errors.Join(err, f.Truncate(m.Size))
	}
	return errors.Join(err, f.Close())
}

// Write writes the model; the writer keeps its own error, as a bufio.Writer does.
func Write(out io.Writer, m Model) {
	if m.Context == 0 {
		m.Context = 262_144
	}
	tokens, kinds := vocabulary()
	keys := metadata(m, tokens, kinds)
	tensors := weights(len(tokens))

	w := &writer{w: out}
	w.bytes([]byte("GGUF"))
	w.uint32(3)
	w.uint64(uint64(len(tensors)))
	w.uint64(uint64(len(keys)))
	for _, key := range keys {
		key(w)
	}
	offset := uint64(0)
	for _, t := range tensors {
		w.string(t.name)
		w.uint32(uint32(len(t.shape)))
		for _, n := range t.shape {
			w.uint64(n)
		}
		w.uint32(0) // float32
		w.uint64(offset)
		offset += pad(uint64(4 * len(t.data)))
	}
	w.align()
	for _, t := range tensors {
		for _, x := range t.data {
			w.uint32(math.Float32bits(x))
		}
		w.align()
	}
}

// words are the answer's tokens, in SentencePiece's spelling.
func words() []string {
	var out []string
	for word := range strings.FieldsSeq(Answer) {
		head, full := strings.CutSuffix(word, ".")
		out = append(out, "\u2581"+head)
		if full {
			out = append(out, ".")
		}
	}
	return out
}

func vocabulary() (tokens []string, kinds []int32) {
	tokens = []string{"<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|call|>", "<|bash|>"}
	kinds = []int32{tokenUnknown, tokenControl, tokenControl, tokenControl, tokenControl, tokenControl, tokenControl}
	for b := range 256 {
		tokens = append(tokens, fmt.Sprintf("<0x%02X>", b))
		kinds = append(kinds, tokenByte)
	}
	spoken := words()
	for _, c := range calls {
		spoken = append(spoken, c.text)
	}
	for _, word := range spoken {
		tokens = append(tokens, word)
		kinds = append(kinds, tokenNormal)
	}
	return tokens, kinds
}

// weights make chains of tokens: line break, first word, …, last word, end; and
// for each call token: the token, the tool call, end.
func weights(vocab int) []tensor {
	firstWord, n := firstByte+256, len(words())
	steps := [][2]int{{firstByte + '\n', firstWord}}
	for i := range n - 1 {
		steps = append(steps, [2]int{firstWord + i, firstWord + i + 1})
	}
	steps = append(steps, [2]int{firstWord + n - 1, endToken})
	for i, c := range calls {
		steps = append(steps, [2]int{c.token, firstWord + n + i}, [2]int{firstWord + n + i, endToken})
	}

	embed := make([]float32, vocab*dim)
	output := make([]float32, vocab*dim)
	for token := range vocab {
		embed[token*dim] = 1
		if token < firstWord && token != endToken {
			output[token*dim] = -3
		}
	}
	for i, step := range steps {
		embed[step[0]*dim+i+1] = 1
		output[step[1]*dim+i+1] = 4
	}
	ones := slices.Repeat([]float32{1}, dim)
	zero := func(name string, in, out int) tensor {
		return tensor{name, []uint64{uint64(in), uint64(out)}, make([]float32, in*out)}
	}
	return []tensor{
		{"token_embd.weight", []uint64{dim, uint64(vocab)}, embed},
		{"output_norm.weight", []uint64{dim}, ones},
		{"output.weight", []uint64{dim, uint64(vocab)}, output},
		{"blk.0.attn_norm.weight", []uint64{dim}, ones},
		{"blk.0.ffn_norm.weight", []uint64{dim}, ones},
		zero("blk.0.attn_q.weight", dim, heads*headDim),
		zero("blk.0.attn_k.weight", dim, kvHeads*headDim),
		zero("blk.0.attn_v.weight", dim, kvHeads*headDim),
		zero("blk.0.attn_output.weight", heads*headDim, dim),
		zero("blk.0.ffn_gate.weight", dim, feedForward),
		zero("blk.0.ffn_up.weight", dim, feedForward),
		zero("blk.0.ffn_down.weight", feedForward, dim),
	}
}

func metadata(m Model, tokens []string, kinds []int32) []func(*writer) {
	text := func(key, value string) func(*writer) {
		return func(w *writer) { w.string(key); w.uint32(typeString); w.string(value) }
	}
	number := func(key string, value uint32) func(*writer) {
		return func(w *writer) { w.string(key); w.uint32(typeUint32); w.uint32(value) }
	}
	system := systemAllowed
	if m.Strict {
		system = systemRefused
	}
	spoken := strings.Replace(template, "SYSTEM", system, 1)
	if m.Plain {
		spoken = plain
	}
	keys := []func(*writer){
		text("general.architecture", "llama"),
		text(KeyName, m.Name),
		number("general.file_type", 0),
		number("llama.block_count", 1),
		number(KeyContext, m.Context),
		number("llama.embedding_length", dim),
		number("llama.feed_forward_length", feedForward),
		number("llama.attention.head_count", heads),
		number("llama.attention.head_count_kv", kvHeads),
		number("llama.rope.dimension_count", headDim),
		number("llama.vocab_size", uint32(len(tokens))),
		func(w *writer) {
			w.string("llama.attention.layer_norm_rms_epsilon")
			w.uint32(typeFloat32)
			w.uint32(math.Float32bits(1e-5))
		},
		text("tokenizer.ggml.model", "llama"),
		func(w *writer) {
			w.array("tokenizer.ggml.tokens", typeString, len(tokens))
			for _, t := range tokens {
				w.string(t)
			}
		},
		func(w *writer) {
			w.array("tokenizer.ggml.scores", typeFloat32, len(tokens))
			for range tokens {
				w.uint32(0)
			}
		},
		func(w *writer) {
			w.array("tokenizer.ggml.token_type", typeInt32, len(kinds))
			for _, k := range kinds {
				w.uint32(uint32(k))
			}
		},
		number("tokenizer.ggml.bos_token_id", 1),
		number("tokenizer.ggml.eos_token_id", endToken),
		number("tokenizer.ggml.unknown_token_id", 0),
		text(KeyTemplate, spoken),
	}
	if m.Behaviour != "" {
		keys = append(keys, text(KeyBehaviour, m.Behaviour))
	}
	return keys
}

type writer struct {
	w       io.Writer
	written uint64
}

func (w *writer) bytes(b []byte) {
	_, _ = w.w.Write(b)
	w.written += uint64(len(b))
}
func (w *writer) uint32(v uint32) { w.bytes(binary.LittleEndian.AppendUint32(nil, v)) }
func (w *writer) uint64(v uint64) { w.bytes(binary.LittleEndian.AppendUint64(nil, v)) }
func (w *writer) string(s string) { w.uint64(uint64(len(s))); w.bytes([]byte(s)) }
func (w *writer) align()          { w.bytes(make([]byte, pad(w.written)-w.written)) }
func pad(n uint64) uint64         { return (n + 31) / 32 * 32 }
func (w *writer) array(key string, kind uint32, n int) {
	w.string(key)
	w.uint32(typeArray)
	w.uint32(kind)
	w.uint64(uint64(n))
}

// ReadKeys returns the text and 32-bit number values of a model that Write wrote, as text.
func ReadKeys(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &reader{r: bufio.NewReader(f)}
	if magic := r.bytes(4); string(magic) != "GGUF" {
		return nil, fmt.Errorf("%s is no GGUF file", path)
	}
	r.uint32()
	r.uint64()
	keys := map[string]string{}
	for n := r.uint64(); n > 0 && r.err == nil; n-- {
		key := r.string()
		switch kind := r.uint32(); kind {
		case typeString:
			keys[key] = r.string()
		case typeUint32:
			keys[key] = fmt.Sprint(r.uint32())
		case typeFloat32:
			r.uint32()
		case typeArray:
			element, length := r.uint32(), r.uint64()
			for ; length > 0 && r.err == nil; length-- {
				if element == typeString {
					r.string()
				} else {
					r.uint32()
				}
			}
		default:
			return nil, fmt.Errorf("%s: a value of type %d, which this reader does not know", path, kind)
		}
	}
	return keys, r.err
}

type reader struct {
	r   io.Reader
	err error
}

func (r *reader) bytes(n uint64) []byte {
	if n > 1<<20 && r.err == nil {
		r.err = errors.New("a value longer than 1 MiB")
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); len(b) == 4 {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string { return string(r.bytes(r.uint64())) }
