//go:build unix

package service

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// counted is a real runner behind a proxy that counts the messages that it refuses, and
// may name another engine.
type counted struct {
	URL     string
	refused atomic.Int32
	engine  atomic.Value // what llama.cpp is said to be; nil: what it is
}

func countRefusals(t *testing.T, models map[string]gguf.Model) *counted {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if parts.RealEngine {
		t.Skip("a real engine does not misbehave on order")
	}
	r, err := lab.StartRunner(t.Context(), parts, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	for name, m := range models {
		if err := r.Add(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	target, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		if strings.HasSuffix(resp.Request.URL.Path, "/v1/messages") && resp.StatusCode != http.StatusOK {
			c.refused.Add(1)
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if engine, ok := c.engine.Load().(string); ok && req.URL.Path == "/engines/status" {
			fmt.Fprintf(w, `{"llama.cpp":"Running: llama.cpp %s"}`, engine)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// What an engine refuses once is written otherwise from then on, after a restart too,
// until there is another engine.
func TestALessonOutlivesSwitchyard(t *testing.T) {
	c := countRefusals(t, map[string]gguf.Model{"ai/nemo": {Context: 65536, Behaviour: "short-ids"}})
	m := machineAt(t, c.URL)
	for _, tt := range []struct {
		name    string
		engine  string
		refused int32 // in all
		proven  bool  // so the conversations are left out
	}{
		{"the first switch", "", 1, false},
		{"the next start", "", 1, true},
		{"another engine", "10069", 2, false},
	} {
		if tt.engine != "" {
			c.engine.Store(tt.engine)
		}
		s := serve(t, m)
		var proofs []string
		if _, err := switching.Switch(t.Context(), otherProcessAlike(t, m), switching.Request{Route: claude.Local},
			localrunner.Progress{Done: func(p runner.Proof) { proofs = append(proofs, p.Name) }}); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := c.refused.Load(); got != tt.refused {
			t.Errorf("%s: %d requests were refused, want %d", tt.name, got, tt.refused)
		}
		if slices.Contains(proofs, "cloud_history") == tt.proven {
			t.Errorf("%s: proven %v", tt.name, proofs)
		}
		if err := switching.Check(t.Context(), otherProcessAlike(t, m), "", 0, false, localrunner.Progress{}); err != nil || c.refused.Load() != tt.refused {
			t.Errorf("%s: checked again, %d refused: %v", tt.name, c.refused.Load(), err)
		}
		s.quit()
	}
}

// The proofs are no session: nothing is counted, and nothing is warned of.
func TestACheckLeavesNoTrace(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/first": {Context: 65536}})
	s := serve(t, m)
	s.local()
	before := s.State()
	other := otherProcessAlike(t, m)
	for range 3 {
		if err := switching.Check(t.Context(), other, "", 0, false, localrunner.Progress{}); err != nil {
			t.Fatal(err)
		}
	}
	records := s.door.Load().Records()
	for _, r := range records {
		if r.Purpose != gateway.Proof || r.SessionID != "" {
			t.Errorf("%+v", r)
		}
	}
	if want := 4 * (len(runner.Proofs()) - 3); len(records) < want-len(runner.Conversations()) {
		t.Errorf("%d requests, want about %d", len(records), want)
	}
	s.sync(t.Context())
	now := s.until("an idle gateway", func(s state.State) bool { return s.Gateway.Running == 0 })
	if len(now.Gateway.Sessions) != 0 || len(now.Warnings) != len(before.Warnings) {
		t.Errorf("%+v, warnings %+v, before %+v", now.Gateway.Sessions, now.Warnings, before.Warnings)
	}
	if status, body := prompt(t, m, "ai/first"); status != http.StatusOK {
		t.Fatal(status, body)
	}
	eventually(t, "a session of its own", func() bool { return len(s.door.Load().State().Sessions) == 1 })
}
