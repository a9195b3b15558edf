package door

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// opened is a door whose Switchyard has found out nothing yet but the given State.
func opened(t *testing.T, now state.State) *Door {
	t.Helper()
	home := t.TempDir()
	m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")}, home, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), Options{Machine: m, Log: slog.New(slog.DiscardHandler), State: func() state.State { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range v.Listeners {
			_ = l.Close()
		}
	})
	return v
}

func TestASessionWaitsForTheFirstLook(t *testing.T) {
	models := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/models" {
			_, _ = w.Write([]byte(`[{"id":"sha256:1","tags":["docker.io/ai/one:latest"],"config":{}}]`))
		}
	}))
	defer models.Close()
	v := opened(t, state.State{})
	answer := make(chan string, 1)
	go func() { answer <- v.ForSession(t.Context(), "ai/one").Model }()
	v.SetRunner(localrunner.Instance{Seen: engine.Seen{URL: models.URL, State: engine.Running}})
	if got := <-answer; got != "docker.io/ai/one:latest" {
		t.Errorf("%q", got)
	}
	if got := v.ForSession(t.Context(), "").Model; got != "docker.io/ai/one:latest" {
		t.Errorf("without a name: %q", got)
	}
	if !v.ForSession(t.Context(), "ai/two").Missing {
		t.Error("a model that is not there")
	}
}

func TestASessionIsToldItsModelWhileTheRunnerStarts(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer silent.Close()
	for _, c := range []struct {
		runner state.RunnerState
		want   string
	}{
		{state.Starting, runner.Full("ai/one")},
		{"", runner.Full("ai/one")},
		{state.Stopped, ""}, // the session's command starts it, and asks again
	} {
		v := opened(t, state.State{Runner: state.Runner{State: c.runner}})
		v.SetRunner(localrunner.Instance{Seen: engine.Seen{URL: silent.URL}})
		if got := v.ForSession(t.Context(), "ai/one"); got.Model != c.want || got.Missing {
			t.Errorf("%q: %q, missing %t", c.runner, got.Model, got.Missing)
		}
	}
}
