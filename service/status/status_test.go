package status

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
)

func merge(m *machine.Machine, s state.State, f settings.Files) state.State {
	merged, _ := Complete(m, s, f, sessions.Facts{}, sessions.Episodes{}, time.Now())
	return merged
}

func TestTheFilesAndTheRunnerTogether(t *testing.T) {
	since := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	m := &machine.Machine{Version: "v1", Config: config.Config{Cloud: config.Never}, Warnings: []state.Warning{{Code: "config_unknown_key"}}}
	f := settings.Files{
		Targets: []state.Target{{Route: claude.Local, Model: "x", Way: claude.Direct}}, Status: []machine.Inspected{{Status: claude.Status{Since: since}}},
		Lean: true, Quiet: true, Chosen: "y", Context: 65536, BaseURL: "https://me:secret@box", Warnings: []state.Warning{{Code: "drift"}},
	}
	got := merge(m, state.State{Runner: state.Runner{State: state.Stopped}, Warnings: []state.Warning{{Code: "vram"}}}, f)
	if got.Route != claude.Local || got.Model != "x" || !got.Since.Equal(since) || !got.Lean || !got.Quiet || !got.Locked || got.Chosen != "y" || got.Context != 65536 || got.Version != "v1" {
		t.Errorf("%+v", got)
	}
	if got.BaseURL != "https://me:xxxxx@box" {
		t.Errorf("it shows a password: %s", got.BaseURL)
	}
	var codes []string
	for _, w := range got.Warnings {
		codes = append(codes, w.Code)
	}
	if want := []string{"config_unknown_key", "drift", "vram", "runner_down"}; !slices.Equal(codes, want) {
		t.Errorf("%q", codes)
	}
	if got.Models == nil || got.Pulls == nil || got.Targets == nil {
		t.Error("a list that JSON writes as null")
	}
	if len(m.Warnings) != 1 || len(f.Warnings) != 1 {
		t.Error("what it was given has changed")
	}
}

func TestARouteThatSomebodySetByHand(t *testing.T) {
	up := state.Runner{State: state.Running, URL: "http://127.0.0.1:12434"}
	for _, tt := range []struct {
		name, url string
		runner    state.Runner
		want      claude.Route
	}{
		{"the runner's address", "http://127.0.0.1:12434/anthropic", up, claude.Local},
		{"without the path", "http://127.0.0.1:12434", up, claude.Local},
		{"another one", "http://127.0.0.1:4000", up, claude.Cloud},
		{"none", "", up, claude.Cloud},
		{"none, and no runner", "", state.Runner{}, claude.Cloud},
	} {
		f := settings.Files{BaseURL: tt.url, Targets: []state.Target{{Route: claude.Cloud}}}
		got := merge(&machine.Machine{}, state.State{Runner: tt.runner}, f)
		told := len(got.Warnings) == 1 && got.Warnings[0].Code == "set_by_hand"
		if got.Route != tt.want || got.Targets[0].Route != tt.want || told != (tt.want == claude.Local) {
			t.Errorf("%s: %s %+v", tt.name, got.Route, got.Warnings)
		}
		if f.Targets[0].Route != claude.Cloud {
			t.Errorf("%s: the files say something else now", tt.name)
		}
	}
}
