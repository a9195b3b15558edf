package service

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
)

func TestStateFollowsTheFileAndTheRunner(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	file := filepath.Join(m.Home, ".claude", "settings.json")
	_, until := supervise(t, m)
	until("the runner", func(s state.State) bool { return s.Runner.State == state.Running && len(s.Models) == 1 })
	for _, name := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(`{"env":{"ANTHROPIC_BASE_URL":"https://`+name+`"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		until(name, func(s state.State) bool { return s.BaseURL == "https://"+name })
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	until("the folder's end", func(s state.State) bool { return s.BaseURL == "" })
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	until("a warning about the new, broken file", func(s state.State) bool {
		return len(s.Warnings) == 1 && s.Warnings[0].Code == "settings_broken"
	})
}

func TestAnotherClickEndsTheProof(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("a real engine does not load slowly on order")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/slow": {Behaviour: "load=4m"}})
	s, until := supervise(t, m)
	first := make(chan error, 1)
	go func() { first <- s.Switch(t.Context(), switching.Request{Route: claude.Local}) }()
	until("the load", func(s state.State) bool { return strings.HasPrefix(s.Busy, "Loading") })
	if err := s.Switch(t.Context(), switching.Request{Route: claude.Cloud}); err != nil {
		t.Error(err)
	}
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first click ended with %v", err)
	}
	state := until("rest", func(s state.State) bool { return s.Busy == "" })
	if state.Route != claude.Cloud || len(state.Failures) != 0 {
		t.Errorf("%+v", state)
	}
}

func TestAFailureIsInTheState(t *testing.T) {
	s, until := supervise(t, machineAt(t, "http://127.0.0.1:9"))
	for n := 1; n <= 2; n++ {
		var failed *fault.Error
		if err := s.Switch(t.Context(), switching.Request{Route: claude.Local, Model: "x"}); !errors.As(err, &failed) || failed.Kind != fault.Unreachable {
			t.Fatalf("got %v", err)
		}
		state := until("the failure", func(s state.State) bool { return len(s.Failures) == n })
		if !strings.Contains(state.Failures[len(state.Failures)-1].Text, "nothing answers\n→ start Model Runner") {
			t.Errorf("it says %q", state.Failures[len(state.Failures)-1].Text)
		}
	}
}

func TestTheConfiguredModelCannotBeChanged(t *testing.T) {
	m := machineAt(t, "http://127.0.0.1:9")
	m.Config.Model = "ai/mine"
	s, until := supervise(t, m)
	if err := s.Choose(t.Context(), "ai/other"); err == nil {
		t.Error("it said nothing")
	}
	state := until("the failure", func(s state.State) bool { return len(s.Failures) == 1 && s.Chosen == "ai/mine" })
	if !strings.Contains(state.Failures[len(state.Failures)-1].Text, "config.toml") {
		t.Errorf("%+v", state)
	}
}

// A switch that was interrupted by a kill is completed by the next look.
func TestALookCompletesAnInterruptedSwitch(t *testing.T) {
	m := machineAt(t, "http://127.0.0.1:9")
	if _, err := switching.Switch(t.Context(), m, switching.Request{Route: claude.Local, Model: "x", Force: true}, localrunner.Progress{}); err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(m.Paths.Ledger(), "*", "entry.json"))
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	// As if it had been killed after the file was moved and before the commit.
	if err := os.Rename(entries[0], filepath.Join(filepath.Dir(entries[0]), "pending.json")); err != nil {
		t.Fatal(err)
	}
	if state := status.Look(t.Context(), m); state.Route != claude.Local || state.Model != "x" {
		t.Errorf("%+v", state)
	}
	if _, err := os.Stat(entries[0]); err != nil {
		t.Errorf("not committed: %v", err)
	}
}

func TestAllTargetsAreCheckedBeforeTheFirstIsChanged(t *testing.T) {
	m := machineAt(t, "http://127.0.0.1:9")
	second := filepath.Join(m.Home, "second")
	if err := errors.Join(os.Mkdir(second, 0o700), os.WriteFile(filepath.Join(second, "settings.json"), []byte("[]"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m.Config.Targets = []string{"~/second"}
	var refused *fault.Error
	_, err := switching.Switch(t.Context(), m, switching.Request{Route: claude.Local, Model: "x", Force: true}, localrunner.Progress{})
	if !errors.As(err, &refused) || refused.Kind != fault.Refused {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.Home, ".claude", "settings.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first target was touched: %v", err)
	}
}
