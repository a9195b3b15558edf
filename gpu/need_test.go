package gpu

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
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

// object is a file in testdata: Model Runner's object of a model, with where its
// metadata are from and the numbers that others published of it.
type object struct {
	Source string
	Config struct {
		Size         string
		Architecture string
		ContextSize  int `json:"context_size"`
		GGUF         map[string]string
	}
	Published []struct {
		Context   int
		Parallel  int
		KV        string
		KVMiB     float64  `json:"kv_mib"`
		Recurrent *float64 `json:"recurrent_mib"`
		Source    string
		Within    float64
	}
}

func objects(t *testing.T) map[string]object {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	all := map[string]object{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := json.Unmarshal(data, &o); err != nil || o.Source == "" {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = o
	}
	return all
}

func TestPublishedNumbers(t *testing.T) {
	checked := 0
	for name, o := range objects(t) {
		for _, p := range o.Published {
			checked++
			need := Needs(Model{Size: 1, Keys: o.Config.GGUF}, Setting{Context: p.Context, Parallel: p.Parallel, KV: p.KV})
			if got := float64(need.KV) / miB; math.Abs(got-p.KVMiB) > p.Within*p.KVMiB {
				t.Errorf("%s at %d: %.2f MiB, published %.2f (%s)", name, p.Context, got, p.KVMiB, p.Source)
			}
			if got := float64(need.Recurrent) / miB; p.Recurrent != nil && math.Abs(got-*p.Recurrent) > p.Within**p.Recurrent {
				t.Errorf("%s: recurrent %.2f MiB, published %.2f (%s)", name, got, *p.Recurrent, p.Source)
			}
			if need.Bound != Estimate {
				t.Errorf("%s is called %s", name, need.Bound)
			}
		}
	}
	if checked < 14 {
		t.Errorf("only %d numbers", checked)
	}
}

// Every public model gets an estimate; what nobody knows is an upper bound.
func TestPublicModels(t *testing.T) {
	for name, o := range objects(t) {
		need := Needs(Model{Size: 8 << 30, Architecture: o.Config.Architecture, Keys: o.Config.GGUF}, Setting{Context: 65536})
		if want := map[bool]Bound{true: Upper, false: Estimate}[name == "unknown-to-us"]; need.Bound != want || need.KV <= 0 || need.Total < 8<<30 || need.Total > 64<<30 {
			t.Errorf("%s: %+v", name, need)
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

// What a real llama.cpp (Debian sid's, on the CPU) allocated for the lab's model.
func TestARealLlamaCpp(t *testing.T) {
	m := Model{Size: 1, Keys: keys("llama", "block_count", "1", "embedding_length", "64", "attention.head_count", "2", "attention.head_count_kv", "1",
		"attention.key_length", "32", "attention.value_length", "32", "vocab_size", "269")}
	for _, tt := range []struct {
		setting     Setting
		kv, compute float64 // MiB, as its log says
	}{
		{Setting{Context: 65536}, 8, 64.77},
		{Setting{Context: 65536, KV: "q8_0"}, 4.25, 64.77},
		{Setting{Context: 65536, Parallel: 2}, 8, 32.77},
		{Setting{Context: 50000}, 6.125, 49.77},
	} {
		need := Needs(m, tt.setting)
		if kv, compute := float64(need.KV)/miB, float64(need.Compute)/miB; kv != tt.kv || math.Abs(compute-tt.compute) > 0.2 {
			t.Errorf("%+v: cache %.3f, compute %.2f MiB", tt.setting, kv, compute)
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
		for _, part := range []int64{need.Weights, need.KV, need.Recurrent, need.Compute, need.Overhead} {
			if part < 0 || need.Total < part {
				t.Errorf("%+v", need)
			}
		}
	})
}
