//go:build unix

package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// sides are both sides of a running Switchyard, which note what they are asked.
type sides struct {
	mu    sync.Mutex
	notes []string

	guard   bool
	rotated error
	kept    error
	refused error
	pull    chan state.Pull
}

func (s *sides) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, text)
}

func (s *sides) noted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.Join(s.notes, ", ")
	s.notes = nil
	return text
}

type gatewayDouble struct{ *sides }

func (g gatewayDouble) State() state.Gateway {
	return state.Gateway{URL: "http://127.0.0.1:5", Snapshot: gateway.Snapshot{Running: 2}}
}
func (g gatewayDouble) Address(context.Context) Address { return Address{"http://127.0.0.1:5", "word"} }
func (g gatewayDouble) ForSession(_ context.Context, model string) SessionAnswer {
	return SessionAnswer{Address: Address{"http://127.0.0.1:5", "word"}, Model: model, Context: 65536, Route: claude.Offline, Users: []gateway.Session{{ID: "s1"}}}
}
func (g gatewayDouble) Records() []gateway.Record {
	return []gateway.Record{{Model: "a"}, {Model: "b"}}
}
func (g gatewayDouble) Follow(ctx context.Context, send func([]gateway.Record) error) error {
	if err := send(g.Records()); err != nil {
		return err
	}
	if err := send([]gateway.Record{{Model: "c"}}); err != nil {
		return err
	}
	<-ctx.Done()
	g.note("followed to the end")
	return ctx.Err()
}
func (g gatewayDouble) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "switchyard_up 1\n") })
}
func (g gatewayDouble) Rotate() error { g.note("token"); return g.rotated }
func (g gatewayDouble) Yields() bool  { return g.guard }
func (g gatewayDouble) Yield(conn net.Conn) {
	_, _ = io.WriteString(conn, "the listeners\n")
}

type supervisorDouble struct{ *sides }

func (s supervisorDouble) State() state.State {
	return state.State{Runner: state.Runner{State: state.RunnerFailed, Reason: "why", Restarts: 3}, Pulls: nil}
}
func (s supervisorDouble) ChangeRunner(_ context.Context, c localrunner.Verb) error {
	s.note(string(c))
	return s.kept
}
func (s supervisorDouble) Pull(_ context.Context, ref string) (<-chan state.Pull, error) {
	s.note("pull " + ref)
	return s.pull, s.refused
}
func (s supervisorDouble) CancelPull(_ context.Context, ref string) { s.note("cancel " + ref) }
func (s supervisorDouble) Watched(_ context.Context, session string) {
	s.note("watched " + session)
}
func (s supervisorDouble) Raise(context.Context) { s.note("raise") }
func (s supervisorDouble) Quit()                 { s.note("quit") }

// scratch is a machine with room for sockets.
func scratch(t *testing.T) *machine.Machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &machine.Machine{Home: dir, Paths: config.Paths{State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}, Environ: []string{"MODEL_RUNNER_HOST=http://127.0.0.1:1"}}
}

// running listens for a machine until the test ends, and connects to that.
func running(t *testing.T, m *machine.Machine) (*Client, *sides, *Server) {
	t.Helper()
	s := &sides{pull: make(chan state.Pull, 4)}
	server, err := Listen(m.Paths, gatewayDouble{s}, supervisorDouble{s})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(server.Serve)
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	client, err := Find(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return client, s, server
}

func TestWhatTheRunningSwitchyardTells(t *testing.T) {
	m := scratch(t)
	client, s, _ := running(t, m)
	ctx := t.Context()
	if g, err := client.Gateway(ctx); err != nil || !reflect.DeepEqual(g, (gatewayDouble{s}).State()) {
		t.Errorf("gateway %+v %v", g, err)
	}
	if g := GatewayState(ctx, m); g.Running != 2 {
		t.Errorf("gateway %+v", g)
	}
	if at, err := client.Address(ctx); err != nil || at != (Address{"http://127.0.0.1:5", "word"}) {
		t.Errorf("address %+v %v", at, err)
	}
	if at, ok := GatewayAddress(ctx, m); !ok || at.Token != "word" {
		t.Errorf("address %+v", at)
	}
	if known, err := client.Session(ctx, "ai/a b&c"); err != nil || !reflect.DeepEqual(known, (gatewayDouble{s}).ForSession(ctx, "ai/a b&c")) {
		t.Errorf("session %+v %v", known, err)
	}
	if r, err := client.Runner(ctx); err != nil || !reflect.DeepEqual(r, (supervisorDouble{s}).State().Runner) {
		t.Errorf("runner %+v %v", r, err)
	}
	if pulls, err := client.Pulls(ctx); err != nil || pulls == nil || len(pulls) != 0 {
		t.Errorf("pulls %#v %v", pulls, err)
	}
	resp, err := client.send(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "switchyard_up 1\n" {
		t.Errorf("metrics %q %v", text, err)
	}
	if _, err := client.send(ctx, http.MethodGet, "/nothing", nil); err == nil {
		t.Error("a path that is none")
	}
}

func TestWhatTheRunningSwitchyardDoes(t *testing.T) {
	client, s, _ := running(t, scratch(t))
	for _, tt := range []struct {
		want string
		ask  func(context.Context) error
	}{
		{"token", client.RotateToken},
		{"raise", client.Raise},
		{"watched 0b1c-9", func(ctx context.Context) error { return client.Watched(ctx, "0b1c-9") }},
		{"watched a b&c", func(ctx context.Context) error { return client.Watched(ctx, "a b&c") }},
		{"quit", client.Quit},
		{"start", func(ctx context.Context) error { return client.Control(ctx, localrunner.Start) }},
		{"stop", func(ctx context.Context) error { return client.Control(ctx, localrunner.Stop) }},
		{"restart", func(ctx context.Context) error { return client.Control(ctx, localrunner.Restart) }},
	} {
		if err := tt.ask(t.Context()); err != nil || s.noted() != tt.want {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
	s.rotated = errors.New("the disk is full")
	if err := client.RotateToken(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("%v", err)
	}
}

func TestAFailureSurvivesTheSocket(t *testing.T) {
	client, s, server := running(t, scratch(t))
	for _, kind := range []fault.Kind{fault.Failed, fault.Refused, fault.Unreachable} {
		want := fault.Error{Kind: kind, What: "starting Model Runner", Why: "port 5 is taken", Remedy: "end what holds it"}
		s.kept = fmt.Errorf("more: %w", &want)
		var got *fault.Error
		if err := client.Control(t.Context(), localrunner.Start); !errors.As(err, &got) || *got != want {
			t.Errorf("%+v", err)
		}
	}
	var failed *fault.Error
	s.kept = errors.New("odd")
	if err := client.Control(t.Context(), localrunner.Stop); !errors.As(err, &failed) || failed.Kind != fault.Failed || failed.What != "stopping Model Runner" || failed.Why != "odd" {
		t.Errorf("%+v", err)
	}
	server.Close()
	if err := client.Control(t.Context(), localrunner.Stop); !errors.As(err, &failed) || failed.Kind != fault.Failed || !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %+v", err)
	}
}

func TestRequestsAsTheyCome(t *testing.T) {
	client, s, _ := running(t, scratch(t))
	var models string
	if err := client.Requests(t.Context(), false, func(r gateway.Record) error { models += r.Model; return nil }); err != nil || models != "ab" {
		t.Errorf("%s %v", models, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	models = ""
	err := client.Requests(ctx, true, func(r gateway.Record) error {
		if models += r.Model; r.Model == "c" {
			stop()
		}
		return nil
	})
	if models != "abc" || !errors.Is(err, context.Canceled) {
		t.Errorf("%s %v", models, err)
	}
	until(t, "the server's end", func() bool { return s.noted() == "followed to the end" })
	enough := errors.New("enough")
	if err := client.Requests(t.Context(), true, func(gateway.Record) error { return enough }); err != enough {
		t.Errorf("%v", err)
	}
}

func TestAPullIsFollowed(t *testing.T) {
	client, s, _ := running(t, scratch(t))
	s.pull <- state.Pull{State: state.Queued}
	s.pull <- state.Pull{State: state.Pulling, Done: 1, Total: 2}
	s.pull <- state.Pull{State: state.PullDone, Size: 2}
	var seen []state.PullState
	last, err := client.Pull(t.Context(), "hf.co/a b&c:Q4", func(p state.Pull) { seen = append(seen, p.State) })
	if err != nil || last.Size != 2 || !reflect.DeepEqual(seen, []state.PullState{state.Queued, state.Pulling, state.PullDone}) {
		t.Errorf("%+v %v %v", last, seen, err)
	}
	if got := s.noted(); got != "pull hf.co/a b&c:Q4" {
		t.Error(got)
	}
}

func TestAPullThatDoesNotEndWell(t *testing.T) {
	client, s, server := running(t, scratch(t))
	nothing := func(state.Pull) {}
	var failed *fault.Error

	s.pull <- state.Pull{State: state.PullFailed, Why: "no such model", Remedy: "check the name"}
	if _, err := client.Pull(t.Context(), "x", nothing); !errors.As(err, &failed) || failed.Kind != fault.Failed || failed.Why != "no such model" || failed.Remedy != "check the name" {
		t.Errorf("it failed: %+v", err)
	}
	s.pull <- state.Pull{State: state.Cancelled}
	if _, err := client.Pull(t.Context(), "x", nothing); !errors.As(err, &failed) || failed.Why != "it was cancelled" || !strings.Contains(failed.Remedy, "where it stopped") {
		t.Errorf("it was cancelled elsewhere: %+v", err)
	}

	s.noted()
	s.pull <- state.Pull{State: state.Pulling}
	ctx, stop := context.WithCancel(t.Context())
	if _, err := client.Pull(ctx, "a b&c", func(state.Pull) { stop() }); !errors.As(err, &failed) || failed.Why != "it was cancelled" || !errors.Is(err, context.Canceled) {
		t.Errorf("it was cancelled here: %+v", err)
	}
	if got := s.noted(); got != "pull a b&c, cancel a b&c" {
		t.Errorf("the other side heard %s", got)
	}

	s.refused = &fault.Error{Kind: fault.Refused, What: "pulling x", Why: "the route is offline", Remedy: "go online first"}
	if _, err := client.Pull(t.Context(), "x", nothing); !errors.As(err, &failed) || failed.Kind != fault.Refused || !strings.Contains(failed.Why, "the route is offline; go online first") {
		t.Errorf("it was refused: %+v", err)
	}

	s.refused = nil
	s.pull <- state.Pull{State: state.Pulling}
	if _, err := client.Pull(t.Context(), "x", func(state.Pull) { server.Close() }); !errors.As(err, &failed) || failed.Why != "Switchyard ended" {
		t.Errorf("Switchyard ended: %+v", err)
	}
}

func TestAGuardHandsOver(t *testing.T) {
	m := scratch(t)
	client, s, _ := running(t, m)
	if _, err := client.send(t.Context(), http.MethodPost, "/yield", nil); err == nil || !strings.Contains(err.Error(), "it is not a guard") {
		t.Errorf("%v", err)
	}
	if _, err := Find(t.Context(), m); err != nil {
		t.Errorf("a guard that does not hand over goes on: %v", err)
	}
	s.guard = true
	conn, err := Dial(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /yield HTTP/1.1\r\nHost: switchyard\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "the listeners\n" {
		t.Errorf("%q %v", line, err)
	}
	if _, err := os.Stat(filepath.Join(m.Paths.Runtime, socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
	running(t, m) // the next one
}

func TestOnlyTheUserReachesTheSocket(t *testing.T) {
	m := scratch(t)
	running(t, m)
	for file, want := range map[string]os.FileMode{m.Paths.Runtime: 0o700, filepath.Join(m.Paths.Runtime, socketName): 0o600} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
}

func TestASocketThatAKilledProcessLeftIsReplaced(t *testing.T) {
	m := scratch(t)
	if err := os.MkdirAll(m.Paths.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(m.Paths.Runtime, socketName)})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), m); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no Switchyard runs: %v", err)
	}
	running(t, m)
}

func TestWithoutARuntimeFolderTheSocketIsInTheState(t *testing.T) {
	m := scratch(t)
	if err := os.WriteFile(m.Paths.Runtime, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	running(t, m)
	if _, err := os.Stat(filepath.Join(m.Paths.State, socketName)); err != nil {
		t.Error(err)
	}
}

func TestNoSwitchyardRuns(t *testing.T) {
	m := scratch(t)
	if _, err := Connect(m).Session(t.Context(), ""); !errors.Is(err, ErrNotRunning) {
		t.Errorf("%v", err)
	}
	if at, ok := GatewayAddress(t.Context(), m); ok {
		t.Errorf("%+v", at)
	}
	if g := GatewayState(t.Context(), m); g.URL != "" {
		t.Errorf("%+v", g)
	}
	var refused *fault.Error
	if err := ControlRunner(t.Context(), m, localrunner.Start); !errors.As(err, &refused) || refused.Kind != fault.Refused || refused.What != "starting Model Runner" {
		t.Errorf("somebody else's runner: %v", err)
	}
}

func TestACommandLeavesTheRunnerToTheRunningSwitchyard(t *testing.T) {
	m := scratch(t)
	_, s, _ := running(t, m)
	if err := ControlRunner(t.Context(), m, localrunner.Restart); err != nil || s.noted() != "restart" {
		t.Errorf("%v", err)
	}
}

// host is this very process, where it serves the gateway.
type host struct {
	*sides
	up bool
}

func (h host) Address(context.Context) (url, token string, ok bool) { return "here", "own", h.up }
func (h host) BringUp(context.Context) error                        { h.note("bring up"); return h.kept }

func TestWhoServesTheGatewayItselfAsksNobody(t *testing.T) {
	m := scratch(t)
	running(t, m)
	m.Here = host{up: true}
	if at, ok := GatewayAddress(t.Context(), m); !ok || at != (Address{"here", "own"}) {
		t.Errorf("%+v", at)
	}
	m.Here = host{}
	if at, ok := GatewayAddress(t.Context(), m); !ok || at.Token != "word" {
		t.Errorf("before it serves: %+v", at)
	}
}

// stopped is an engine whose runner does not run.
type stopped struct{ engine.Engine }

func (stopped) Kind() engine.Kind { return engine.Container }

func TestWhenASwitchStartsTheRunner(t *testing.T) {
	no := false
	for _, tt := range []struct {
		name string
		seen engine.Seen
		may  *bool
		want string
	}{
		{"ours", engine.Seen{State: engine.Stopped, Controlled: true}, nil, "begin start_runner, bring up"},
		{"somebody else's", engine.Seen{State: engine.Stopped}, nil, ""},
		{"the configuration forbids it", engine.Seen{State: engine.Stopped, Controlled: true}, &no, ""},
		{"its program is missing", engine.Seen{State: engine.Stopped, Controlled: true, Problem: &engine.Error{Code: engine.NoProgram, Why: "gone", Remedy: "install it"}}, nil, "refused: gone"},
		{"llama-server is missing", engine.Seen{State: engine.Stopped, Controlled: true, Problem: &engine.Error{Code: engine.NoLlamaServer, Why: "gone", Remedy: "install it"}}, nil, "refused: gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, s := scratch(t), &sides{}
			m.Here, m.Config.StartRunner = host{sides: s}, tt.may
			_, err := BringUp(t.Context(), m, localrunner.Instance{Engine: stopped{}, Seen: tt.seen}, localrunner.Progress{Begin: func(name string) { s.note("begin " + name) }})
			got := s.noted()
			var refused *fault.Error
			if errors.As(err, &refused) && refused.Kind == fault.Refused {
				got = "refused: " + refused.Why
			}
			if got != tt.want {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-limit:
			t.Fatal("waited in vain for " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
