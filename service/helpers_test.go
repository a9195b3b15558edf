package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// scratchMachine is a scratch machine with a real runner that has these models.
func scratchMachine(t *testing.T, models map[string]gguf.Model) *machine.Machine {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
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
	return machineAt(t, r.URL)
}

// machineAt is a scratch machine whose runner is at a URL, and need not be there.
func machineAt(t *testing.T, runner string) *machine.Machine {
	t.Helper()
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run"), Usual: config.Usual{Runner: "127.0.0.1:1"}},
		home, []string{"MODEL_RUNNER_HOST=" + runner})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// otherProcess is the same machine, as another process of the same user sees it.
func otherProcess(t *testing.T, m *machine.Machine) *machine.Machine {
	t.Helper()
	again, err := machine.Open(m.Paths, m.Home, m.Environ)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// otherProcessAlike is the same machine as another process sees it, configured as the test has it.
func otherProcessAlike(t *testing.T, m *machine.Machine) *machine.Machine {
	t.Helper()
	o := otherProcess(t, m)
	o.Config = m.Config
	return o
}

// socketFolder is a folder for sockets.
func socketFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// supervise runs a supervisor for the test and returns a way to wait for a State.
func supervise(t *testing.T, m *machine.Machine) (s *Supervisor, until func(what string, ok func(state.State) bool) state.State) {
	t.Helper()
	s = NewSupervisor(m, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the supervisor did not end")
		}
	})
	return s, follow(t, s.Subscribe())
}

// follow returns a way to wait for a State.
func follow(t *testing.T, states <-chan state.State) (until func(what string, ok func(state.State) bool) state.State) {
	var last state.State
	return func(what string, ok func(state.State) bool) state.State {
		t.Helper()
		limit := time.After(20 * time.Second)
		for !ok(last) {
			select {
			case last = <-states:
			case <-limit:
				t.Fatalf("waited in vain for %s; last State %+v", what, last)
			}
		}
		return last
	}
}

// served is a supervisor that serves the gateway until it is quit.
type served struct {
	t *testing.T
	*Supervisor
	machine *machine.Machine
	stop    func()
	ended   chan error
	until   func(what string, ok func(state.State) bool) state.State
}

// serve runs a supervisor that serves the gateway, and returns when it does.
func serve(t *testing.T, m *machine.Machine) *served {
	t.Helper()
	s := &served{t: t, Supervisor: NewSupervisor(m, slog.New(slog.DiscardHandler)), machine: m, ended: make(chan error, 1)}
	s.Supervisor.Serve(door.ServeOptions{})
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	states := s.Subscribe()
	go func() { s.ended <- s.Run(ctx) }()
	t.Cleanup(s.quit)
	s.until = follow(t, states)
	s.until("the gateway and the runner", func(s state.State) bool { return s.Gateway.URL != "" && len(s.Targets) > 0 })
	return s
}

// quit ends it in good order.
func (s *served) quit() {
	s.t.Helper()
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Error(err)
		}
	case <-time.After(20 * time.Second):
		s.t.Error("the supervisor did not end")
	}
}

// local switches to the local route and waits until the State says so.
func (s *served) local() {
	s.t.Helper()
	mustSwitch(s.t, otherProcessAlike(s.t, s.machine), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() && s.Runner.State == state.Running })
}

func mustSwitch(t *testing.T, m *machine.Machine, r switching.Request) switching.Result {
	t.Helper()
	result, err := switching.Switch(t.Context(), m, r, localrunner.Progress{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// env is what the settings file sets.
func env(t *testing.T, m *machine.Machine) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.Home, ".claude", "settings.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var settings struct{ Env map[string]string }
	if err := json.Unmarshal(data, &settings); err != nil {
		t.Fatal(err)
	}
	return settings.Env
}

// prompt sends what Claude Code sends, with the address and the token of the settings.
func prompt(t *testing.T, m *machine.Machine, model string) (int, string) {
	t.Helper()
	e := env(t, m)
	return promptWith(t, e["ANTHROPIC_BASE_URL"], e["ANTHROPIC_AUTH_TOKEN"], model)
}

func promptWith(t *testing.T, address, token, model string) (int, string) {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"max_tokens":50,"system":"You are an agent.","messages":[{"role":"user","content":"hi"},{"role":"system","content":"Be brief."},{"role":"assistant","content":"yes"},{"role":"user","content":"hello\n"}]}`, model)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/v1/messages?beta=true", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Claude-Code-Session-Id", "s1")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// eventually waits for something that no State shows.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-limit:
			t.Fatal("waited in vain for " + what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
