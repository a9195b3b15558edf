package gpu

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Model is what decides a model's need of memory: its file and the metadata in it,
// as Model Runner tells them.
type Model struct {
	Architecture string
	Size         int64             // bytes of the file
	Keys         map[string]string // GGUF metadata; arrays of more than 50 elements are missing
}

// Setting is how a model is loaded.
type Setting struct {
	Context   int    // tokens
	KV        string // the cache's type: f16, q8_0, q4_0; empty: f16
	Parallel  int    // slots; 0: llama.cpp's four, which share one pool
	Separate  bool   // each slot has a part of the context of its own; with Parallel set that is llama.cpp's way
	Projector int64  // bytes of a vision projector's file
	Draft     int64  // bytes of a draft model's file
}

// Bound says what kind of figure a need is.
type Bound string

const (
	Estimate Bound = "estimate"
	Upper    Bound = "upper"  // it may well be less: something about the model is not known
	Learnt   Bound = "learnt" // corrected by what a load before really took
)

// Need is what a loaded model takes, in bytes.
type Need struct {
	Weights   int64 `json:"weights_bytes"` // with projector and draft model
	KV        int64 `json:"kv_bytes"`
	Recurrent int64 `json:"recurrent_bytes"`
	Compute   int64 `json:"compute_bytes"`
	Overhead  int64 `json:"overhead_bytes"`
	Total     int64 `json:"total_bytes"`
	Bound     Bound `json:"bound"`
}

const (
	// autoSlots is how many requests llama.cpp serves at a time when it is not told.
	autoSlots = 4
	// batch is llama.cpp's physical batch, in tokens.
	batch = 512
	// overhead is what CUDA takes for itself.
	overhead = 512 << 20
	// anyVocabulary stands for one that the metadata do not tell.
	anyVocabulary = 200_000
)

// architectures are those whose cache is computed rightly here. Others get an upper
// bound: full attention in every layer.
var architectures = []string{
	"llama", "mistral3", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "phi3", "granite", "granitemoe", "granitehybrid", "smollm3",
	"gpt-oss", "gemma2", "gemma3", "deepseek2", "glm4", "glm4moe", "lfm2", "lfm2moe", "seed_oss", "ernie4_5", "ernie4_5-moe", "exaone", "command-r",
}

// metadata reads the keys of one architecture.
type metadata struct {
	keys    map[string]string
	arch    string
	missing bool // something that matters is not told
}

// number is a key's value; otherwise when it is missing.
func (m *metadata) number(key string, otherwise int64) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(m.keys[m.arch+"."+key]), 10, 64)
	const absurd = 1 << 32
	if err != nil || n < 0 || n > absurd {
		return otherwise
	}
	return n
}

// must is a key without which there is no estimate.
func (m *metadata) must(key string) int64 {
	n := m.number(key, -1)
	if n < 0 {
		m.missing = true
		return 0
	}
	return n
}

var digits = regexp.MustCompile(`\d+|true|false`)

// list is a key that holds a number for all layers or one for each; nil when it is missing.
func (m *metadata) list(key string, layers int64) []int64 {
	text, ok := m.keys[m.arch+"."+key]
	if !ok {
		return nil
	}
	var out []int64
	for _, one := range digits.FindAllString(text, -1) {
		n, err := strconv.ParseInt(one, 10, 64)
		if err != nil {
			n = map[string]int64{"true": 1}[one]
		}
		out = append(out, n)
	}
	if len(out) == 1 {
		return slices.Repeat(out, int(layers))
	}
	if int64(len(out)) < layers {
		return nil
	}
	return out
}

// bytesPer is the size of an element of the cache, as a fraction.
func bytesPer(kind string) (n, d int64) {
	switch kind {
	case "q8_0":
		return 34, 32
	case "q4_0":
		return 18, 32
	case "f32":
		return 4, 1
	}
	return 2, 1
}

func pad(cells int64) int64 { return (cells + 255) / 256 * 256 }

// Needs estimates what a model takes. The rules are llama.cpp's (llama-kv-cache,
// llama-memory-recurrent and the architectures' hparams).
func Needs(model Model, s Setting) Need {
	m := &metadata{keys: model.Keys, arch: model.Keys["general.architecture"]}
	if m.arch == "" {
		m.arch = model.Architecture
	}
	m.missing = !slices.Contains(architectures, m.arch)
	need := Need{Weights: model.Size + s.Projector + s.Draft, Overhead: overhead}
	layers := m.must("block_count") - m.number("nextn_predict_layers", 0)
	c := cache{m: m, s: s, layers: max(min(layers, 10_000), 0)}
	need.KV, need.Recurrent = c.bytes()
	// Measured on llama.cpp (Debian sid, a one-layer model, on the CPU): 64.77 MiB at
	// 64K, 32.77 in two streams, 49.77 at 50,000: the mask has 16 bits.
	_, streams := s.slots()
	vocabulary := m.number("vocab_size", anyVocabulary)
	need.Compute = batch*4*(vocabulary+m.number("embedding_length", 8192)) + pad(int64(s.Context)/streams)*batch*2
	need.Total = need.Weights + need.KV + need.Recurrent + need.Compute + need.Overhead
	need.Bound = Estimate
	if m.missing || model.Size == 0 {
		need.Bound = Upper
	}
	return need
}

// slots are how many requests are served at a time, and in how many parts the cache
// is cut for them.
func (s Setting) slots() (slots, streams int64) {
	slots, streams = autoSlots, 1
	if s.Parallel > 0 {
		slots = int64(s.Parallel)
	}
	if s.Parallel > 0 || s.Separate {
		streams = slots
	}
	return slots, streams
}

// cache computes the key-value cache and the recurrent state.
type cache struct {
	m      *metadata
	s      Setting
	layers int64
}

func (c cache) bytes() (kv, recurrent int64) {
	m := c.m
	heads := m.number("attention.head_count", 0)
	kvHeads := m.list("attention.head_count_kv", c.layers)
	if kvHeads == nil {
		if _, told := m.keys[m.arch+".attention.head_count_kv"]; told || heads == 0 {
			m.missing = true
		}
		kvHeads = slices.Repeat([]int64{max(heads, 1)}, int(c.layers))
	}
	perHead := int64(0)
	if heads > 0 {
		perHead = m.number("embedding_length", 0) / heads
	}
	dk, dv := m.number("attention.key_length", perHead), m.number("attention.value_length", perHead)
	if dk == 0 || dv == 0 {
		m.missing = true
	}
	slots, streams := c.s.slots()
	cells := pad(int64(c.s.Context) / streams)
	n, d := bytesPer(c.s.KV)
	interval := m.number("full_attention_interval", 0)
	shared := m.number("attention.shared_kv_layers", 0)
	lora := m.number("attention.kv_lora_rank", 0)
	for i := range c.layers {
		switch {
		case interval > 0 && (i+1)%interval != 0, kvHeads[i] == 0:
			recurrent += c.state(slots)
		case i >= c.layers-shared: // it reads another layer's
		case lora > 0: // latent attention keeps keys only
			kv += (lora + m.number("rope.dimension_count", 64)) * cells * streams * n / d
		case c.slides(i):
			window := pad(min(cells, c.window()*slots/streams+batch))
			kv += (dk + dv) * 2 * kvHeads[i] * window * streams
		default:
			kv += (dk + dv) * kvHeads[i] * cells * streams * n / d
		}
	}
	return kv, recurrent
}

func (c cache) window() int64 { return c.m.number("attention.sliding_window", 0) }

// slides reports whether a layer sees a window only.
func (c cache) slides(i int64) bool {
	if c.window() == 0 {
		return false
	}
	if pattern := c.m.list("attention.sliding_window_pattern", c.layers); pattern != nil {
		if every := pattern[0]; every > 1 { // every so many layers one is full
			return (i+1)%every != 0
		}
		return pattern[i] != 0
	}
	switch c.m.arch {
	case "gpt-oss", "gemma2":
		return (i+1)%2 != 0
	case "gemma3":
		return (i+1)%6 != 0
	}
	return false
}

// state is the recurrent state of one layer, which is always in 32 bits.
func (c cache) state(slots int64) int64 {
	m := c.m
	inner, size := m.number("ssm.inner_size", 0), m.number("ssm.state_size", 0)
	if inner == 0 || size == 0 {
		if short := m.number("shortconv.l_cache", 0); short > 1 {
			return (short - 1) * m.number("embedding_length", 0) * 4 * slots
		}
		return 0
	}
	conv, groups := m.number("ssm.conv_kernel", 4), m.number("ssm.group_count", 0)
	return ((conv-1)*(inner+2*groups*size) + size*inner) * 4 * slots
}

// Verdict says whether a model fits.
type Verdict string

const (
	Fits    Verdict = "fits"
	Tight   Verdict = "tight" // it fits, and leaves less than the reserve
	TooBig  Verdict = "too-big"
	Unknown Verdict = "unknown"
)

// reserve is what should stay free beside a model, in bytes.
const reserve = 1 << 30

// Judge says whether a need fits what is free, in bytes; a negative free is not known.
func Judge(need, free int64) Verdict {
	switch {
	case free < 0 || need <= 0:
		return Unknown
	case need+reserve <= free:
		return Fits
	case need <= free:
		return Tight
	}
	return TooBig
}

// Largest is the largest context that fits what is free, in tokens, at most limit;
// 0 when none does or when it is not known what is free.
func Largest(model Model, s Setting, free int64, limit int) int {
	const step = 1024
	fits := func(n int) bool {
		s.Context = n * step
		return Judge(Needs(model, s).Total, free) == Fits
	}
	low, high := 0, limit/step // low fits, or is none; what is above high does not
	for low < high {
		middle := (low + high + 1) / 2
		if fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low * step
}
