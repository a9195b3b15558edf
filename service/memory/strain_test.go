package memory

import (
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/state"
)

func TestStrain(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		name string
		free []int64 // of 24 GiB, in MiB
		want string  // one letter a reading: -, a, r
	}{
		{"plenty", []int64{20000, 20000}, "--"},
		{"one bad reading is none", []int64{20000, 2000, 20000, 20000}, "----"},
		{"two are", []int64{20000, 2000, 2000, 2000}, "--aa"},
		{"red at once, with the second", []int64{300, 300}, "-r"},
		{"amber, then red", []int64{2000, 2000, 300, 300}, "-aar"},
		{"red counts for amber", []int64{300, 2000, 2000}, "-aa"},
		{"it trembles about the limit", []int64{2400, 2400, 2500, 2400, 2500, 2600}, "-aaaaa"},
		{"it recovers", []int64{2400, 2400, 3800}, "-a-"},
		{"red is left with room", []int64{300, 300, 1100, 2300, 3800}, "-rra-"},
		{"nothing known keeps it", []int64{2400, 2400, -1, 2400}, "-aaa"},
	} {
		var s Monitor
		var got strings.Builder
		for _, free := range tt.free {
			if free >= 0 {
				free <<= 20
			}
			got.WriteString(map[Strain]string{Relaxed: "-", Amber: "a", Red: "r"}[s.Update(free, 24*gib)])
		}
		if got.String() != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got.String(), tt.want)
		}
	}
}

func TestTheWarningOfAnEpisodeStaysTheSame(t *testing.T) {
	v := func(free int64) state.VRAM { return state.VRAM{Devices: []gpu.Device{{Total: 24 << 30, Free: free}}} }
	models := []state.Model{{Tag: "docker.io/ai/qwen3-coder:latest", Loaded: true, Need: 18 << 30}, {Tag: "docker.io/ai/other:latest", Need: 5 << 30}}
	s := Monitor{level: Amber}
	first, ok := s.Warning(v(1<<30), models)
	if want := "the GPU is running out of memory: 1.0 GiB of 24.0 GiB is free; ai/qwen3-coder holds about 18.0 GiB, other programs hold about 5.0 GiB"; !ok || first.Text != want || first.Code != "vram_low" {
		t.Errorf("%+v", first)
	}
	if second, _ := s.Warning(v(900<<20), models); second != first {
		t.Errorf("%+v", second)
	}
	if s.Update(20<<30, 24<<30); s.level != Relaxed {
		t.Error("it goes on")
	}
	if _, ok := s.Warning(v(20<<30), models); ok {
		t.Error("it warns of nothing")
	}
}

func TestAModelOnTheCPU(t *testing.T) {
	loaded := []state.Model{{Tag: "a", Loaded: true, Size: 11 << 30}}
	for _, tt := range []struct {
		free   int64
		models []state.Model
		want   bool
	}{{23 << 30, loaded, true}, {12 << 30, loaded, false}, {-1, loaded, false}, {23 << 30, []state.Model{{Size: 11 << 30}}, false}, {23 << 30, []state.Model{{Loaded: true, Size: 1 << 30}}, false}} {
		if _, got := OnCPU(state.VRAM{Devices: []gpu.Device{{Total: 24 << 30, Free: tt.free}}}, tt.models); got != tt.want {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}
