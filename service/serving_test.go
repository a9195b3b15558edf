package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
)

// metrics reads the running Switchyard's metrics, as a scraper does.
func metrics(t *testing.T, m *machine.Machine) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(m.Paths.Runtime, "switchyard.sock"))
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://switchyard/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAStrictModelWorksThroughTheGateway(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/strict": {Strict: true, Context: 65536}})
	_, err := switching.Switch(t.Context(), m, switching.Request{Route: claude.Local}, localrunner.Progress{})
	var refused *fault.Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Remedy, "start Switchyard") {
		t.Fatalf("without a gateway: %v", err)
	}
	s := serve(t, m)
	commandLine := otherProcess(t, m)
	result := mustSwitch(t, commandLine, switching.Request{Route: claude.Local})
	if result.BaseURL != s.State().Gateway.URL || env(t, m)["ANTHROPIC_BASE_URL"] != result.BaseURL || !strings.HasPrefix(env(t, m)["ANTHROPIC_AUTH_TOKEN"], "switchyard-") {
		t.Errorf("%+v %v", result, env(t, m))
	}
	s.until("the switch", func(s state.State) bool { return s.Model != "" })
	for _, model := range []string{"claude-opus-4-6", "claude-haiku-4-5-20251001", "haiku", "ai/strict", "docker.io/ai/strict:latest"} {
		if status, body := prompt(t, m, model); status != 200 || !strings.Contains(body, gguf.Answer) || !strings.Contains(body, fmt.Sprintf("%q", model)) {
			t.Errorf("%s: %d %s", model, status, body)
		}
	}
	if status, body := prompt(t, m, "ai/nothing"); status != 404 || !strings.Contains(body, "switchyard pull ai/nothing") {
		t.Errorf("%d %s", status, body)
	}
	state := s.until("the requests", func(s state.State) bool { return len(s.Gateway.Sessions) == 1 && s.Gateway.Sessions[0].Requests == 6 })
	if state.Gateway.Waiting+state.Gateway.Running != 0 {
		t.Errorf("%+v", state.Gateway)
	}
	running, err := control.Find(t.Context(), commandLine)
	if err != nil {
		t.Fatal(err)
	}
	var records []gateway.Record
	if err := running.Requests(t.Context(), false, func(r gateway.Record) error { records = append(records, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if last := records[len(records)-2]; last.Model != "docker.io/ai/strict:latest" || last.Context != 65536 || last.Status != 200 || last.SessionID != "s1" {
		t.Errorf("%+v", last)
	}
	metrics := metrics(t, m)
	if !strings.Contains(metrics, `switchyard_requests_total{error="",model="docker.io/ai/strict:latest",status="200"}`) {
		t.Errorf("metrics\n%s", metrics)
	}
	if err := switching.Check(t.Context(), commandLine, "", 0, false, localrunner.Progress{}); err != nil {
		t.Errorf("the check through the gateway: %v", err)
	}
	if err := switching.Check(t.Context(), commandLine, "", 0, true, localrunner.Progress{}); err == nil {
		t.Error("the direct check passed")
	}
}

// What Claude Code gets if the real Model Runner meets a full GPU, a crash or an overflow.
func TestTheRealRunnersErrors(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("a real engine does not fail on order")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/oom": {Behaviour: "oom"}, "ai/tiny": {}, "ai/small": {Context: 2048}})
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local, Model: "ai/tiny"})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	e := env(t, m)
	for _, tt := range []struct {
		model, prompt string
		status        int
		want          string
	}{
		{"ai/oom", "hi", 400, "not enough GPU memory for ai/oom with a context of 262144 tokens: choose a smaller model"},
		{"ai/tiny", "[[crash]]", 500, "the inference engine of ai/tiny crashed"},
		{"ai/tiny", "alive again?", 200, gguf.Answer},
		{"ai/small", strings.Repeat("word ", 4000), 400, `prompt is too long: 50`},
		{"ai/none", "hi", 404, "switchyard pull ai/none"},
	} {
		for _, stream := range []bool{false, true} {
			body := fmt.Sprintf(`{"model":%q,"max_tokens":50,"stream":%t,"messages":[{"role":"user","content":%q}]}`, tt.model, stream, tt.prompt)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e["ANTHROPIC_BASE_URL"]+"/v1/messages", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+e["ANTHROPIC_AUTH_TOKEN"])
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			data, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			said := string(data)
			if stream && tt.status == 200 {
				tt.want = "message_stop" // the words come one by one
			}
			if resp.StatusCode != tt.status || !strings.Contains(said, tt.want) {
				t.Errorf("%s, stream %t: %d %s", tt.model, stream, resp.StatusCode, data)
			}
		}
	}
}

func TestQuittingLeavesAWorkingAddress(t *testing.T) {
	const original = "{ \"theme\": \"dark\" }"
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	file := filepath.Join(m.Home, ".claude", "settings.json")
	if err := os.WriteFile(file, []byte(original), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	gatewayURL := s.State().Gateway.URL
	s.quit()
	if got := env(t, m); !strings.HasSuffix(got["ANTHROPIC_BASE_URL"], "/anthropic") || got["ANTHROPIC_AUTH_TOKEN"] != machine.DummyToken {
		t.Errorf("after quitting: %v", got)
	}
	if status, body := prompt(t, m, "docker.io/ai/tiny:latest"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if look := status.Look(t.Context(), otherProcess(t, m)); look.Route != claude.Local || len(look.Warnings) > 0 {
		t.Errorf("%+v", look)
	}
	if resp, err := http.Get(gatewayURL); err == nil {
		_ = resp.Body.Close()
		t.Error("the gateway's port still answers")
	}
	// The next start points Claude Code to the gateway again, whatever its port is then.
	taken, err := net.Listen("tcp", strings.TrimPrefix(gatewayURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	m = otherProcess(t, m)
	m.Config.GatewayPort = taken.Addr().(*net.TCPAddr).Port
	again := serve(t, m)
	state := again.until("the gateway", func(s state.State) bool { return s.GatewayInUse() })
	if state.Gateway.URL == gatewayURL || env(t, m)["ANTHROPIC_BASE_URL"] != state.Gateway.URL {
		t.Errorf("%s, settings %v", state.Gateway.URL, env(t, m))
	}
	if status, body := prompt(t, m, "claude-opus-4-6"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Cloud})
	if got, _ := os.ReadFile(file); string(got) != original {
		t.Errorf("back in the cloud: %s", got)
	}
}

func TestDirectStaysDirect(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local, Direct: true})
	s.until("the switch", func(s state.State) bool { return s.Route == claude.Local })
	s.quit()
	m = otherProcess(t, m)
	s = serve(t, m)
	s.until("the switch", func(s state.State) bool { return s.Route == claude.Local })
	s.Refresh()
	if got := env(t, m)["ANTHROPIC_BASE_URL"]; !strings.HasSuffix(got, "/anthropic") {
		t.Errorf("it was pointed to %s", got)
	}
	if err := s.Choose(t.Context(), "ai/tiny"); err != nil {
		t.Fatal(err)
	}
	if got := env(t, m)["ANTHROPIC_BASE_URL"]; !strings.HasSuffix(got, "/anthropic") {
		t.Errorf("choosing a model led it to %s", got)
	}
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Offline})
	if got := env(t, m)["ANTHROPIC_BASE_URL"]; got != s.State().Gateway.URL {
		t.Errorf("a switch without --direct went to %s", got)
	}
}

func TestTheTokenIsSecretAndCanBeRenewed(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	for _, file := range []string{filepath.Join(m.Paths.State, "token"), filepath.Join(m.Paths.Runtime, "switchyard.sock"), filepath.Join(m.Home, ".claude", "settings.json")} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", file, mode)
		}
	}
	before := env(t, m)["ANTHROPIC_AUTH_TOKEN"]
	running, err := control.Find(t.Context(), otherProcess(t, m))
	if err != nil {
		t.Fatal(err)
	}
	if err := running.RotateToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new token in the settings", func() bool { return env(t, m)["ANTHROPIC_AUTH_TOKEN"] != before })
	if status, _ := prompt(t, m, "opus"); status != 200 {
		t.Errorf("the new token: %d", status)
	}
	if status, _ := promptWith(t, env(t, m)["ANTHROPIC_BASE_URL"], before, "opus"); status != 200 {
		t.Errorf("a session that has not followed yet is refused: %d", status)
	}
	kept, err := os.ReadFile(filepath.Join(m.Paths.State, "token"))
	if err != nil || strings.TrimSpace(string(kept)) != env(t, m)["ANTHROPIC_AUTH_TOKEN"] {
		t.Errorf("the next start has another token: %v", err)
	}
}

// A closed session does not keep the engine busy: its request to the real runner is cancelled.
func TestAClosedSessionFreesTheRealRunner(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("a real engine does not answer slowly on order")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	found, err := localrunner.Find(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	client := runner.NewClient(found.Endpoint())
	defer client.Close()
	busy := func() bool {
		loaded, err := client.Running(t.Context())
		return err == nil && slices.ContainsFunc(loaded, func(l runner.Loaded) bool { return l.InUse })
	}
	ctx, leave := context.WithCancel(t.Context())
	e := env(t, m)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e["ANTHROPIC_BASE_URL"]+"/v1/messages", strings.NewReader(
		`{"model":"opus","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"[[slow 5m]]"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e["ANTHROPIC_AUTH_TOKEN"])
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	eventually(t, "the engine at work", busy)
	leave()
	<-ended
	left := time.Now()
	eventually(t, "the engine at rest", func() bool { return !busy() })
	t.Logf("the runner was free after %s", time.Since(left).Round(time.Millisecond))
}

// A runner that listens only on a socket is reached through the gateway.
func TestARunnerOnASocket(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	runner, err := url.Parse(m.Getenv("MODEL_RUNNER_HOST"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(runner) }}}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	m.Environ = []string{"MODEL_RUNNER_HOST=unix://" + socket}
	if _, err := switching.Switch(t.Context(), m, switching.Request{Route: claude.Local}, localrunner.Progress{}); err == nil || !strings.Contains(err.Error(), "whose gateway reaches it") {
		t.Errorf("without a gateway: %v", err)
	}
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	if status, body := prompt(t, m, "claude-sonnet-4-6"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	s.quit()
	if got := env(t, m); got != nil {
		t.Errorf("nothing answers there any more, but the settings say %v", got)
	}
}

// dockerDouble is a double of a Docker Engine, as far as finding and starting the runner need it.
type dockerDouble struct {
	host    string
	started atomic.Bool
	up      chan struct{} // closed by the start
}

func newDockerDouble(t *testing.T, port string) *dockerDouble {
	t.Helper()
	dir, err := os.MkdirTemp("", "dock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &dockerDouble{up: make(chan struct{}), host: "unix://" + filepath.Join(dir, "s")}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("GET /v1.41/containers/json", func(w http.ResponseWriter, _ *http.Request) {
		state := "exited"
		if d.started.Load() {
			state = "running"
		}
		fmt.Fprintf(w, `[{"Id":"c1","State":%q,"Labels":{"com.docker.desktop.service":"model-runner"}}]`, state)
	})
	mux.HandleFunc("GET /v1.41/containers/c1/json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Id":"c1","Name":"/docker-model-runner","State":{"Running":%t},"Config":{},"HostConfig":{"PortBindings":{"12434/tcp":[{"HostIp":"127.0.0.1","HostPort":%q}]}}}`, d.started.Load(), port)
	})
	mux.HandleFunc("GET /v1.41/events", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /v1.41/containers/c1/start", func(w http.ResponseWriter, _ *http.Request) {
		if !d.started.Swap(true) {
			close(d.up)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return d
}

func TestARequestStartsAStoppedContainer(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
		runner, err := url.Parse(m.Getenv("MODEL_RUNNER_HOST"))
		if err != nil {
			t.Fatal(err)
		}
		// Nothing listens on the published port until the container runs.
		front, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := front.Addr().String()
		_ = front.Close()
		_, port, _ := net.SplitHostPort(address)
		docker := newDockerDouble(t, port)
		m.Environ = []string{"DOCKER_HOST=" + docker.host}
		m.Config.StartRunner = &allowed
		s := serve(t, m)
		s.until("the stopped runner", func(s state.State) bool { return s.Runner.State == state.Stopped })
		mustSwitch(t, m, switching.Request{Route: claude.Local, Model: "docker.io/ai/tiny:latest", Force: true})
		s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
		go func() {
			select {
			case <-t.Context().Done():
				return
			case <-docker.up:
			}
			l, err := net.Listen("tcp", address)
			if err != nil {
				return
			}
			server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(runner) }}}
			context.AfterFunc(t.Context(), func() { _ = server.Close() })
			_ = server.Serve(l)
		}()
		status, body := prompt(t, m, "claude-opus-4-6")
		switch {
		case allowed && (status != 200 || !docker.started.Load()):
			t.Errorf("%d %s", status, body)
		case !allowed && (status != 503 || !strings.Contains(body, "start_runner in config.toml forbids") || docker.started.Load()):
			t.Errorf("not allowed: %d %s", status, body)
		}
		s.quit()
	}
}

func TestTheLogHoldsNoTokenAndNoWords(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	var log bytes.Buffer
	s := &served{t: t, Supervisor: NewSupervisor(m, slog.New(slog.NewTextHandler(&log, nil))), machine: m, ended: make(chan error, 1)}
	s.Supervisor.Serve(door.ServeOptions{})
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	states := s.Subscribe()
	go func() { s.ended <- s.Run(ctx) }()
	for state := range states {
		if state.Gateway.URL != "" && len(state.Models) > 0 {
			break
		}
	}
	if err := s.Switch(t.Context(), switching.Request{Route: claude.Local}); err != nil {
		t.Fatal(err)
	}
	token := env(t, m)["ANTHROPIC_AUTH_TOKEN"]
	prompt(t, m, "claude-opus-4-6")
	s.quit()
	if text := log.String(); !strings.Contains(text, "another address") || strings.Contains(text, token) || strings.Contains(text, "Be brief") {
		t.Errorf("the log is\n%s", text)
	}
}
