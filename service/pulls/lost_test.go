//go:build unix

package pulls

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Model Runner keeps its list of models without a lock: of two pulls that end
// together it may lose one. The lost model is pulled again.
func TestALostModelIsPulledAgain(t *testing.T) {
	const next, back, own = "by the next pull", "with the list put back", "by its own end"
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{next, back, own} {
		t.Run(how, func(t *testing.T) {
			registry, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/first": {Name: "first", Size: 1 << 20}, "ai/second": {Name: "second", Size: 1 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			real, err := lab.StartRunner(t.Context(), parts, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(real.Stop)
			target, err := url.Parse(real.URL)
			if err != nil {
				t.Fatal(err)
			}
			client := runner.NewClient(runner.Endpoint{URL: real.URL})
			t.Cleanup(client.Close)
			first, second := registry+"/ai/first", registry+"/ai/second"
			var p *Puller
			lost := false
			forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
			losing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if lost || r.URL.Path != "/models/create" || !bytes.Contains(body, []byte(second)) {
					forward.ServeHTTP(w, r)
					return
				}
				lost = true
				if how == own {
					_, _ = io.WriteString(w, `{"type":"success"}`+"\n")
					return
				}
				if err := client.Remove(r.Context(), first); err != nil {
					t.Error(err)
				}
				if how == next {
					forward.ServeHTTP(w, r)
					return
				}
				p.post(r.Context(), func() { // the second takes longer than lossWindow
					p.pulls[0].ended, p.pulls[1].begun = p.pulls[0].ended.Add(-time.Hour), p.pulls[1].begun.Add(-2*time.Hour)
				})
				http.Error(w, "error while pulling model: adding tags: tagging model: model not found", http.StatusInternalServerError)
			}))
			t.Cleanup(losing.Close)
			home := t.TempDir()
			m, err := machine.Open(config.Paths{State: home, Runtime: home}, home, []string{"MODEL_RUNNER_HOST=" + losing.URL})
			if err != nil {
				t.Fatal(err)
			}
			f, err := localrunner.Find(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			reports := make(chan []state.Pull, 1)
			p = New(Options{
				Machine: m, Log: slog.New(slog.DiscardHandler),
				Runner: func(context.Context) localrunner.Instance { return f },
				Start:  func(context.Context, bool) error { return nil },
				VRAM:   func() state.VRAM { return state.VRAM{} },
				Report: func(_ context.Context, list []state.Pull) {
					select {
					case <-reports:
					default:
					}
					reports <- list
				},
				ModelsChanged: func() {},
			})
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				p.Run(ctx)
			}()
			t.Cleanup(func() {
				end()
				<-ended
			})
			for _, ref := range []string{first, second} {
				heard := p.Pull(ctx, ref)
				for last := (state.Pull{}); !last.State.Over(); {
					select {
					case last = <-heard:
					case <-t.Context().Done():
						t.Fatal(t.Context().Err())
					}
				}
				if _, err := client.Model(t.Context(), ref); err != nil {
					t.Errorf("told as pulled: %v", err)
				}
			}
			for limit := time.After(20 * time.Second); ; {
				select {
				case list := <-reports:
					if len(list) == 2 && list[0].State == state.PullDone && list[1].State == state.PullDone && !client.Lacks(t.Context(), first) && !client.Lacks(t.Context(), second) {
						return
					}
				case <-limit:
					t.Fatal("a model that was lost was not pulled again")
				}
			}
		})
	}
}
