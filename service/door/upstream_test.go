package door

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
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
	v, err := Open(t.Context(), Options{Machine: m, Log: slog.New(slog.DiscardHandler), State: func() state.State { return now },
		Needs: func(_, _ string, template shape.Needs) shape.Needs { return template }})
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

// What a model needs stands in its template, or was learned and stored. Both are known to
// the first request after a start.
func TestWhatAModelNeeds(t *testing.T) {
	flags := ""
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/models/docker.io/ai/one:latest":
			_, _ = w.Write([]byte(`{"id":"sha256:1","config":{"gguf":{"tokenizer.chat_template":"{% for m in messages %}{{ m.content }}{% endfor %}"}}}`))
		case "/engines/_configure":
			_, _ = w.Write([]byte(`[{"Config":{"runtime-flags":[` + flags + `]}}]`))
		case "/engines/status":
			_, _ = w.Write([]byte(`{"llama.cpp":"Running: llama.cpp latest (sha256:1) abc","vllm":"Not Installed"}`))
		case "/version":
			_, _ = w.Write([]byte(`{"version":"v1.2.6"}`))
		}
	}))
	defer one.Close()
	const build = "v1.2.6 llama.cpp latest (sha256:1) abc"
	v := opened(t, state.State{Models: []state.Model{{Tag: "docker.io/ai/one:latest", ID: "sha256:1"}}})
	v.SetRunner(localrunner.Instance{Seen: engine.Seen{URL: one.URL, State: engine.Running}})
	stored := make(chan lesson, 4)
	v.options.Learned = func(id, build string, what shape.Lesson) { stored <- lesson{id, build, what} }
	v.options.Needs = func(id, on string, template shape.Needs) shape.Needs {
		if id == "sha256:1" && on == build {
			return template.With(shape.Blind)
		}
		return template
	}
	var owned sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	owned.Go(func() { v.store(ctx) })
	if n := v.model(t.Context(), "ai/one").Needs; !n.NoTools || !n.Blind || n.LooseSchemas {
		t.Errorf("%+v", n)
	}
	v.learned("docker.io/ai/one:latest", shape.LooseSchemas)
	if got := <-stored; got != (lesson{"sha256:1", build, shape.LooseSchemas}) {
		t.Errorf("stored %+v", got)
	}
	if n := v.model(t.Context(), "ai/one").Needs; !n.NoTools || !n.Blind || !n.LooseSchemas {
		t.Errorf("after a lesson: %+v", n)
	}
	v.learned("docker.io/ai/unknown:latest", shape.LooseSchemas) // nobody waits for it
	stop()
	owned.Wait()

	flags = `"--chat-template-file","/other.jinja"`
	clear(v.details)
	if n := v.model(t.Context(), "ai/one").Needs; n.NoTools {
		t.Errorf("the engine was told another template: %+v", n)
	}
}

// The cloud's names mean the chosen model, however they are written; a model of the runner's
// that is called after Claude keeps its name.
func TestTheCloudsNamesMeanTheChosenModel(t *testing.T) {
	v := opened(t, state.State{Model: "docker.io/ai/one:latest", Models: []state.Model{{Tag: "docker.io/ai/one:latest"}, {Tag: "docker.io/ai/claude-like-finetune:latest"}, {Tag: "docker.io/ai/opus:latest"}}})
	v.SetRunner(localrunner.Instance{Seen: engine.Seen{URL: "http://127.0.0.1:1"}})
	for name, want := range map[string]string{
		"opus": "one", "claude-opus-5-5": "one", "us.anthropic.claude-opus-5-v1:0": "one", "anthropic/claude-opus-5": "one", "Claude-Opus-5": "one",
		"ai/claude-like-finetune": "claude-like-finetune", "claude-like-finetune": "claude-like-finetune", "ai/opus": "opus",
	} {
		if got := v.model(t.Context(), name); got.Tag != "docker.io/ai/"+want+":latest" || got.Missing {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
