package gpu

import (
	"math"
	"testing"
)

// keys writes metadata of an architecture.
func keys(arch string, pairs ...string) map[string]string {
	out := map[string]string{"general.architecture": arch}
	for i := 0; i < len(pairs); i += 2 {
		out[arch+"."+pairs[i]] = pairs[i+1]
	}
	return out
}

const miB = 1 << 20

// Numbers that others published, with where.
func TestPublishedNumbers(t *testing.T) {
	llama8 := keys("llama", "block_count", "32", "embedding_length", "4096", "attention.head_count", "32", "attention.head_count_kv", "8")
	gptOSS := keys("gpt-oss", "block_count", "24", "embedding_length", "2880", "attention.head_count", "64", "attention.head_count_kv", "8",
		"attention.key_length", "64", "attention.value_length", "64", "attention.sliding_window", "128")
	whole := keys("gpt-oss", "block_count", "24", "attention.head_count", "64", "attention.head_count_kv", "8", "attention.key_length", "64", "attention.value_length", "64")
	gemma := keys("gemma3", "block_count", "18", "embedding_length", "640", "attention.head_count", "4", "attention.head_count_kv", "1",
		"attention.key_length", "256", "attention.value_length", "256", "attention.sliding_window", "512")
	qwen36 := keys("qwen35", "block_count", "64", "embedding_length", "5120", "attention.head_count", "24", "attention.head_count_kv", "4", "attention.key_length", "256",
		"attention.value_length", "256", "full_attention_interval", "4", "ssm.conv_kernel", "4", "ssm.state_size", "128", "ssm.group_count", "16", "ssm.inner_size", "6144")
	tests := []struct {
		name          string
		keys          map[string]string
		setting       Setting
		kv, recurrent float64 // MiB
		within        float64 // of kv
	}{
		{"Llama-3.1-8B at 1K: Hugging Face's blog", llama8, Setting{Context: 1024}, 128, 0, 0.005},
		{"Llama-3.1-8B at 8K: the same", llama8, Setting{Context: 8192}, 1024, 0, 0.005},
		{"Llama-3.1-8B at 128,000: huggingface/blog#2345", llama8, Setting{Context: 128_000}, 15.62 * 1024, 0, 0.005},
		{"Llama-3.1-8B at 8K, q8_0", llama8, Setting{Context: 8192, KV: "q8_0"}, 544, 0, 0.005},
		{"phi3-medium at 512: llama.cpp#7439", keys("phi3", "block_count", "40", "embedding_length", "5120", "attention.head_count", "40", "attention.head_count_kv", "10"),
			Setting{Context: 512}, 100, 0, 0.005},
		{"Mistral-small3.1 24B at 128K: ollama#10615", keys("llama", "block_count", "40", "embedding_length", "5120", "attention.head_count", "32", "attention.head_count_kv", "8",
			"attention.key_length", "128", "attention.value_length", "128"), Setting{Context: 131072}, 20 * 1024, 0, 0.005},
		{"Qwen3-Coder-30B-A3B, 96 KB a token: NoLlama#21", keys("qwen3moe", "block_count", "48", "embedding_length", "2048", "attention.head_count", "32",
			"attention.head_count_kv", "4", "attention.key_length", "128", "attention.value_length", "128"), Setting{Context: 65536}, 65536 * 96 / 1024, 0, 0.02},
		{"gpt-oss-20b at 128K, window ignored: ik_llama.cpp#822", whole, Setting{Context: 131072}, 6144, 0, 0.005},
		{"gpt-oss-20b at 128K: gguf-parser-go#32", gptOSS, Setting{Context: 131072}, 3.05 * 1024, 0, 0.02},
		{"gemma3-270m at 4096, np 1: unsloth's PR 5225", gemma, Setting{Context: 4096, Parallel: 1}, 27, 0, 0.005},
		{"np 2", gemma, Setting{Context: 4096, Parallel: 2}, 42, 0, 0.005},
		{"np 4", gemma, Setting{Context: 4096, Parallel: 4}, 72, 0, 0.005},
		{"np 8", gemma, Setting{Context: 4096, Parallel: 8}, 72, 0, 0.005},
		{"Qwen3.6-27B at 256K, np 4: lmstudio-bug-tracker#1862", qwen36, Setting{Context: 262144}, 16384, 598.50, 0.005},
		{"LFM2-1.2B at 32K: gguf-parser-go#31", keys("lfm2", "block_count", "16", "embedding_length", "2048", "attention.head_count", "32",
			"attention.head_count_kv", "[0 0 8 0 0 8 0 0 8 0 8 0 8 0 8 0]", "shortconv.l_cache", "3"), Setting{Context: 32768}, 384, -1, 0.005},
	}
	for _, tt := range tests {
		need := Needs(Model{Size: 1, Keys: tt.keys}, tt.setting)
		if got := float64(need.KV) / miB; math.Abs(got-tt.kv) > tt.within*tt.kv {
			t.Errorf("%s: %.2f MiB, published %.2f", tt.name, got, tt.kv)
		}
		if got := float64(need.Recurrent) / miB; tt.recurrent >= 0 && math.Abs(got-tt.recurrent) > 0.005*tt.recurrent {
			t.Errorf("%s: recurrent %.2f MiB, published %.2f", tt.name, got, tt.recurrent)
		}
		if need.Bound != Estimate {
			t.Errorf("%s is called %s", tt.name, need.Bound)
		}
	}
}

func TestWhatIsNotKnownIsAnUpperBound(t *testing.T) {
	for name, model := range map[string]Model{
		"an architecture that nobody knows": {Size: 1, Keys: keys("future", "block_count", "32", "embedding_length", "4096", "attention.head_count", "32", "attention.head_count_kv", "8")},
		"no metadata at all":                {Size: 1, Architecture: "llama"},
		"a list that was dropped":           {Size: 1, Keys: keys("lfm2", "block_count", "60", "embedding_length", "2048", "attention.head_count", "32", "attention.head_count_kv", "[0 0 8]")},
		"no size":                           {Keys: keys("llama", "block_count", "32", "embedding_length", "4096", "attention.head_count", "32", "attention.head_count_kv", "8")},
	} {
		if need := Needs(model, Setting{Context: 65536}); need.Bound != Upper || need.Total <= 0 {
			t.Errorf("%s: %+v", name, need)
		}
	}
}

func TestLatentAttentionKeepsKeysOnly(t *testing.T) {
	m := Model{Size: 1, Keys: keys("deepseek2", "block_count", "27", "embedding_length", "2048", "attention.head_count", "16", "attention.head_count_kv", "16",
		"attention.key_length", "192", "attention.value_length", "128", "attention.kv_lora_rank", "512", "rope.dimension_count", "64")}
	if need := Needs(m, Setting{Context: 32768}); need.KV != 27*(512+64)*2*32768 {
		t.Errorf("%+v", need)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		need, free int64
		want       Verdict
	}{{10 << 30, 12 << 30, Fits}, {10 << 30, 11 << 30, Fits}, {10 << 30, 11<<30 - 1, Tight}, {10 << 30, 10 << 30, Tight}, {10 << 30, 9 << 30, TooBig}, {10 << 30, -1, Unknown}, {0, 1, Unknown}} {
		if got := Judge(tt.need, tt.free); got != tt.want {
			t.Errorf("%d of %d: %s, want %s", tt.need, tt.free, got, tt.want)
		}
	}
}

func TestTheLargestContext(t *testing.T) {
	m := Model{Size: 11 << 30, Keys: keys("llama", "block_count", "40", "embedding_length", "5120", "attention.head_count", "32", "attention.head_count_kv", "8",
		"attention.key_length", "128", "attention.value_length", "128", "vocab_size", "131072")}
	got := Largest(m, Setting{}, 24<<30, 131072)
	at := func(n int) Verdict { return Judge(Needs(m, Setting{Context: n}).Total, 24<<30) }
	if got == 0 || at(got) != Fits || at(got+1024) == Fits {
		t.Errorf("%d: %s, above it %s", got, at(got), at(got+1024))
	}
	if got := Largest(m, Setting{}, 80<<30, 131072); got != 131072 {
		t.Errorf("with room for all of it: %d", got)
	}
	if Largest(m, Setting{}, 8<<30, 131072) != 0 || Largest(m, Setting{}, -1, 131072) != 0 {
		t.Error("nothing fits, or nothing is known")
	}
}

func FuzzNeeds(f *testing.F) {
	f.Add("llama", "32", "8", "4096", 65536, 0)
	f.Add("lfm2", "16", "[0 0 8]", "2048", 1, 4)
	f.Fuzz(func(t *testing.T, arch, blocks, kv, embedding string, context, parallel int) {
		need := Needs(Model{Size: 1, Keys: keys(arch, "block_count", blocks, "attention.head_count_kv", kv, "embedding_length", embedding, "attention.head_count", "32")},
			Setting{Context: context % (1 << 22), Parallel: parallel % 64})
		_ = need
	})
}
