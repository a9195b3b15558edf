package keeper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/gateway/verdict"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
)

const (
	crash    = "unable to load runner: llama.cpp terminated unexpectedly: llama.cpp failed: exit status 3"
	template = `{"error":{"code":500,"message":"Error: Jinja Exception: No user query found in messages.","type":"server_error"}}`
	nonsense = `{"error":{"code":500,"message":"The model produced output that does not match the expected peg-native format","type":"server_error"}}`
	memory   = "unable to load runner: not enough GPU memory to load the model (CUDA)"
)

// sickRunner is a runner whose engine answers with an error, and that remembers what it was
// asked to unload.
type sickRunner struct {
	*httptest.Server
	says    string // empty: it is well
	unloads []string
	asked   int
}

func newSickRunner(t *testing.T) *sickRunner {
	r := &sickRunner{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		switch {
		case strings.HasSuffix(req.URL.Path, "/unload"):
			r.unloads = append(r.unloads, string(body))
			fmt.Fprint(w, `{"unloaded_runners":1}`)
		case r.says != "":
			r.asked++
			http.Error(w, r.says, http.StatusInternalServerError)
		default:
			r.asked++
			fmt.Fprint(w, `{"type":"message","content":[{"type":"text","text":"well"}]}`)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// watching is a keeper that has seen a runner and is about to look again, so that its loop
// need not run.
func watching(t *testing.T, r *sickRunner) *Keeper {
	k := New(Options{Log: slog.New(slog.DiscardHandler)})
	k.mayAct, k.hasLooked, k.looking = true, true, true
	k.wanted = state.Needs{Route: true, Model: "ai/a"}
	k.last = localrunner.Look{Instance: localrunner.Instance{Seen: engine.Seen{State: engine.Running, URL: r.URL}}}
	k.last.Engine = plain{}
	return k
}

// fails lets a request fail, and whatever the keeper does about it end.
func (k *Keeper) fails(t *testing.T, model string) {
	t.Helper()
	k.checkEngine(t.Context(), ending{model, gateway.EngineFailed})
	if k.effort != nil {
		k.onEffortDone(t.Context(), <-k.done)
	}
}

// A model is reloaded once, however often its engine fails, and whoever controls the runner.
func TestACureIsTriedOnce(t *testing.T) {
	type step struct {
		model string
		says  string
		later time.Duration // since the step before
	}
	again := func(n int, s step) []step { return slices.Repeat([]step{s}, n) }
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string // the models that were unloaded
	}{
		{"well", again(3, step{"ai/a", "", 0}), nil},
		{"a crash", again(7, step{"ai/a", crash, 0}), []string{"ai/a"}},
		{"two models", []step{{"ai/a", crash, 0}, {"ai/b", crash, 0}, {"ai/a", crash, 0}, {"ai/b", crash, 0}}, []string{"ai/a", "ai/b"}},
		{"much later", []step{{"ai/a", crash, 0}, {"ai/a", crash, cureAgain - time.Minute}, {"ai/a", crash, 2 * time.Minute}}, []string{"ai/a", "ai/a"}},
		{"a template's error", again(7, step{"ai/a", template, 0}), nil},
		{"nonsense", again(7, step{"ai/a", nonsense, 0}), nil},
		{"no memory", again(7, step{"ai/a", memory, 0}), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newSickRunner(t)
			k := watching(t, r)
			for i, s := range tt.steps {
				for model, at := range k.cures { // time passes
					k.cures[model] = at.Add(-s.later)
				}
				r.says = s.says
				k.fails(t, s.model)
				if r.asked < i+1 {
					t.Fatalf("step %d: the model was not asked", i)
				}
			}
			if len(r.unloads) != len(tt.want) {
				t.Fatalf("unloaded %q, want %q", r.unloads, tt.want)
			}
			for i, model := range tt.want {
				if !strings.Contains(r.unloads[i], model) {
					t.Errorf("unloaded %q, want %q", r.unloads, tt.want)
				}
			}
		})
	}
}

// The keeper hears of what may need a cure, and of nothing else.
func TestWhatTheKeeperHears(t *testing.T) {
	for reason, want := range map[gateway.Reason]bool{
		gateway.EngineFailed: true, gateway.Broken: true, gateway.RunnerDown: true,
		gateway.Overflow: false, gateway.ClientGone: false, gateway.QueueFull: false, gateway.Malformed: false,
		verdict.TemplateRefused: false, verdict.SchemaRefused: false, verdict.Refused: false, verdict.BadOutput: false,
		verdict.OutOfMemory: false, verdict.Loading: false, verdict.ModelMissing: false, verdict.NoImages: false, "": false,
	} {
		k := New(Options{})
		k.RequestEnded("ai/a", reason)
		if heard := len(k.endings) == 1; heard != want {
			t.Errorf("%q: heard %t", reason, heard)
		}
	}
}

// reviving is an engine that counts its restarts.
type reviving struct {
	plain
	restarts chan struct{}
}

func (r reviving) Restart(context.Context) error { r.restarts <- struct{}{}; return context.Canceled }

// What reloading does not cure, a restart of the runner may; that too once.
func TestARestartFollowsOnce(t *testing.T) {
	r := newSickRunner(t)
	k := watching(t, r)
	restarts := make(chan struct{}, 9)
	k.engine = reviving{restarts: restarts}
	k.last.Seen.Controlled, k.policy.allowed = true, true
	r.says = crash
	for range 3 {
		k.fails(t, "ai/a")
		if k.effort != nil {
			<-k.done // how the restart ends is another test's
			k.effort = nil
		}
	}
	if len(restarts) != 1 || len(r.unloads) != 1 {
		t.Errorf("%d restarts, unloaded %q", len(restarts), r.unloads)
	}
}
