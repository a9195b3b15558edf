//go:build unix

package service

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/runner"
)

// Model Runner keeps its list of models without a lock: of two pulls that end
// together it may lose one. A model that is lost is pulled again.
func TestAModelThatIsLost(t *testing.T) {
	const next, back, own = "by the next pull", "with the list put back", "by its own end"
	for _, how := range []string{next, back, own} {
		t.Run(how, func(t *testing.T) {
			y, l := pullYard(t, map[string]gguf.Model{"ai/first": {Name: "first", Size: 1 << 20}, "ai/second": {Name: "second", Size: 1 << 20}})
			target, err := url.Parse(y.getenv("MODEL_RUNNER_HOST"))
			if err != nil {
				t.Fatal(err)
			}
			client := runner.NewClient(runner.Endpoint{URL: target.String()})
			t.Cleanup(client.Close)
			first, second := l.address+"/ai/first", l.address+"/ai/second"
			var s *served
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
				s.puller.post(r.Context(), func() { // the second takes longer than an end is looked back
					pulls := s.puller.pulls
					pulls[0].ended, pulls[1].begun = pulls[0].ended.Add(-time.Hour), pulls[1].begun.Add(-2*time.Hour)
				})
				http.Error(w, "error while pulling model: adding tags: tagging model: model not found", http.StatusInternalServerError)
			}))
			t.Cleanup(losing.Close)
			y.Environ = []string{"MODEL_RUNNER_HOST=" + losing.URL}
			s = serve(t, y)
			for _, ref := range []string{first, second} {
				if _, err := y.other(t).Pull(t.Context(), ref, func(Pull) {}); err != nil {
					t.Fatal(err)
				}
				if _, err := client.Model(t.Context(), ref); err != nil {
					t.Errorf("told as pulled: %v", err)
				}
			}
			s.until("both models", func(s State) bool {
				return len(s.Models) == 2 && len(s.Pulls) == 2 && s.Pulls[0].State == Pulled && s.Pulls[1].State == Pulled
			})
		})
	}
}
