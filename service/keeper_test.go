//go:build unix

package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
)

// TestMain is also the double of a model-runner whose behaviour a test chooses: it
// lists a model, and fails as the file says that TEST_RUNNER names.
func TestMain(m *testing.M) {
	if file := os.Getenv("TEST_RUNNER"); file != "" && os.Getenv("MODEL_RUNNER_SOCK") != "" {
		runnerDouble(file)
	}
	alone.Main(m)
}

func runnerDouble(file string) {
	is := func(behaviour string) bool {
		data, _ := os.ReadFile(file)
		return strings.TrimSpace(string(data)) == behaviour
	}
	if is("ends at once") {
		fmt.Println(`time=now level=INFO msg="all is well"`)
		fmt.Println(`time=now level=ERROR msg="unable to open the store" error="no such directory"`)
		fmt.Println(`time=now level=ERROR msg="failed request" messages="my secret prompt"`)
		os.Exit(2)
	}
	sick := is("a dead engine") || is("a dead engine that stays")
	listener, err := net.Listen("unix", os.Getenv("MODEL_RUNNER_SOCK"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":"sha256:aa","tags":["docker.io/ai/tiny:latest"],"config":{"context_size":65536}}]`)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"version":"double"}`) })
	mux.HandleFunc("GET /models/{rest...}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"sha256:aa","tags":["docker.io/ai/tiny:latest"],"config":{"context_size":65536}}`)
	})
	mux.HandleFunc("GET /engines/_configure", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[]`) })
	mux.HandleFunc("POST /engines/unload", func(w http.ResponseWriter, _ *http.Request) {
		if is("a dead engine") {
			sick = false
			_ = os.WriteFile(file, nil, 0o600)
		}
		fmt.Fprint(w, `{"unloaded_runners":1}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case !strings.Contains(r.URL.Path, "messages"):
			http.NotFound(w, r)
		case is("it dies of a message"):
			os.Exit(3)
		case sick || is("nothing helps"):
			http.Error(w, "inference backend terminated unexpectedly", http.StatusInternalServerError)
		case strings.Contains(string(body), "report_word"):
			fmt.Fprint(w, `{"type":"message","content":[{"type":"tool_use","name":"report_word","input":{}}]}`)
		default:
			fmt.Fprint(w, `{"type":"message","role":"assistant","content":[{"type":"text","text":"well"}],"usage":{"input_tokens":1,"output_tokens":1}}`)
		}
	})
	server := &http.Server{Handler: mux}
	_ = server.Serve(listener)
	os.Exit(0)
}

// double is a machine whose runner is the double above; behave sets its behaviour.
func double(t *testing.T, behaviour string) (m *machine.Machine, behave func(string)) {
	t.Helper()
	m = machineAt(t, "")
	file := filepath.Join(m.Home, "behaviour")
	behave = func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	behave(behaviour)
	m.Paths.Runtime = socketFolder(t)
	m.Environ = []string{"TEST_RUNNER=" + file}
	m.Config.Engine, m.Config.ModelRunner, m.Config.LlamaServer = "process", os.Args[0], "/nowhere/llama-server"
	return m, behave
}

func TestARunnerOfOurOwn(t *testing.T) {
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, _ := double(t, "")
	store := t.TempDir()
	r, err := lab.StartRunner(t.Context(), parts, store)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Add(t.Context(), "ai/tiny", gguf.Model{}); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	m.Config.ModelRunner, m.Config.LlamaServer = parts.ModelRunner, filepath.Join(parts.EngineDir, "llama-server")
	m.Environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.Home, "MODELS_PATH=" + filepath.Join(store, "models")}
	s := serve(t, m)
	now := s.until("the look", func(s state.State) bool { return s.Runner.State == state.Stopped })
	if now.Runner.Engine != engine.Process || !now.Runner.Controlled || len(now.Warnings) > 0 {
		t.Errorf("in the cloud %+v", now)
	}
	s.local() // which starts it
	if status, body := prompt(t, m, "claude-opus-4-6"); status != 200 || !strings.Contains(body, gguf.Answer) {
		t.Fatalf("%d %s", status, body)
	}
	first := s.State().Runner.Since
	lock := filepath.Join(m.Paths.State, "runner", "lock")
	killGroup(t, lock)
	begin := time.Now()
	s.until("the next run", func(s state.State) bool { return s.Runner.State == state.Running && s.Runner.Since.After(first) })
	t.Logf("back %s after a kill", time.Since(begin).Round(time.Millisecond))
	if status, body := prompt(t, m, "claude-opus-4-6"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if n := s.State().Runner.Restarts; n != 1 {
		t.Errorf("%d restarts are told", n)
	}
	if status, _ := prompt(t, m, "[[crash]]"); status == 200 {
		t.Error("a crash was not told")
	}
	if err := s.ControlRunner(t.Context(), localrunner.Stop); err != nil {
		t.Fatal(err)
	}
	s.until("the stop", func(s state.State) bool { return s.Runner.State == state.Stopped && s.Runner.ByPerson })
	if status, body := prompt(t, m, "opus"); status != 503 || !strings.Contains(body, "you stopped it") {
		t.Errorf("%d %s", status, body)
	}
	s.quit()
	// The next Switchyard respects it too, until a switch.
	m = otherProcessAlike(t, m)
	s = serve(t, m)
	now = s.until("the look", func(s state.State) bool { return s.Runner.State == state.Stopped })
	if !now.Runner.ByPerson {
		t.Errorf("%+v", now.Runner)
	}
	s.local()
	s.quit()
	if got := env(t, m); got != nil {
		t.Errorf("the runner is gone, and the settings say %v", got)
	}
	if data, err := os.ReadFile(lock); err == nil {
		pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
		if alive(pid) {
			t.Error("the runner is left")
		}
	}
}

func TestADeadEngineIsCured(t *testing.T) {
	for _, tt := range []struct {
		behaviour string
		restarted bool
	}{{"a dead engine", false}, {"a dead engine that stays", true}} {
		t.Run(tt.behaviour, func(t *testing.T) {
			m, behave := double(t, "")
			s := serve(t, m)
			s.local()
			first := s.State().Runner.Since
			behave(tt.behaviour)
			if err := s.ControlRunner(t.Context(), localrunner.Restart); err != nil { // so that it reads its behaviour
				t.Fatal(err)
			}
			now := s.until("the run", func(s state.State) bool {
				return (s.Runner.State == state.Running || s.Runner.State == state.RunnerFailed) && s.Runner.Since.After(first)
			})
			second := now.Runner.Since
			if now.Runner.Restarts > 0 {
				t.Errorf("a restart that was asked for counts as %d ends", now.Runner.Restarts)
			}
			if tt.restarted {
				behave("") // the next run works
			}
			eventually(t, "an answer", func() bool { status, _ := prompt(t, m, "opus"); return status == 200 })
			s.until("health", func(s state.State) bool {
				return s.Runner.State == state.Running && len(s.Warnings) == 0 && s.Runner.Since.After(second) == tt.restarted
			})
		})
	}
	t.Run("nothing helps", func(t *testing.T) {
		m, behave := double(t, "")
		s := serve(t, m)
		s.local()
		behave("nothing helps")
		prompt(t, m, "opus")
		now := s.until("the truth", func(s state.State) bool { return s.Runner.State == state.RunnerFailed })
		if want := "it lists its models, but ai/tiny does not answer: inference backend terminated unexpectedly"; now.Runner.Reason != want {
			t.Errorf("it says %q", now.Runner.Reason)
		}
		behave("")
		eventually(t, "an answer", func() bool { status, _ := prompt(t, m, "opus"); return status == 200 })
		s.until("health", func(s state.State) bool { return s.Runner.State == state.Running && len(s.Warnings) == 0 })
	})
}

func TestACrashLoopIsReportedOnce(t *testing.T) {
	m, behave := double(t, "")
	s := serve(t, m)
	s.local()
	behave("ends at once")
	var told atomic.Int32
	go func() { // ends with the supervisor
		var before state.State
		for after := range s.Subscribe() {
			for _, w := range after.Warnings {
				if w.Code == "runner_failed" && !hasWarning(before.Warnings, w) {
					told.Add(1)
				}
			}
			before = after
		}
	}()
	killGroup(t, filepath.Join(m.Paths.State, "runner", "lock"))
	limit := time.Now()
	now := s.until("the end of the loop", func(s state.State) bool { return s.Runner.State == state.RunnerFailed })
	t.Logf("given up after %s: %s", time.Since(limit).Round(time.Millisecond), now.Runner.Reason)
	if r := now.Runner.Reason; !strings.Contains(r, "unable to open the store") || strings.Contains(r, "secret") || strings.Contains(r, "all is well") {
		t.Errorf("it says %q", r)
	}
	if status, body := prompt(t, m, "opus"); status != 503 || !strings.Contains(body, "it ended right after it was started") {
		t.Errorf("a prompt got %d %s", status, body)
	}
	if told.Load() != 1 {
		t.Errorf("told %d times", told.Load())
	}
	// The menu works, and the user decides.
	if err := s.Switch(t.Context(), switching.Request{Route: claude.Cloud}); err != nil {
		t.Error(err)
	}
	behave("")
	if err := s.ControlRunner(t.Context(), localrunner.Start); err != nil {
		t.Error(err)
	}
	s.until("the runner", func(s state.State) bool { return s.Runner.State == state.Running })
}

func hasWarning(all []state.Warning, w state.Warning) bool {
	for _, have := range all {
		if have == w {
			return true
		}
	}
	return false
}

// What answers at the address is not Model Runner, or hangs: the state and the messages are
// right, and the commands work.
func TestOtherProgramsAtTheAddress(t *testing.T) {
	tests := []struct {
		name   string
		serve  func(net.Conn)
		state  state.RunnerState
		reason string
	}{
		{"accepts and never answers", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, state.RunnerFailed, "no answer in time"},
		{"closes at once", func(c net.Conn) {}, state.Stopped, "nothing answers"},
		{"garbage", func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")) }, state.Stopped, "nothing answers"},
		{"a web page", page("<html>"), state.RunnerFailed, "not Model Runner's"},
		{"a gigabyte", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
			chunk := make([]byte, 1<<20)
			for range 1024 {
				if _, err := c.Write(chunk); err != nil {
					return
				}
			}
		}, state.RunnerFailed, "the answer is too large"},
		{"an error", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nno: ")
		}, state.RunnerFailed, "no:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() { // ends with the listener
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { tt.serve(c); _ = c.Close() }()
				}
			}()
			m := machineAt(t, "http://"+l.Addr().String())
			s := serve(t, m)
			mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local, Model: "ai/x", Force: true})
			state := s.until("the state", func(s state.State) bool { return s.Route == claude.Local && s.Runner.State == tt.state })
			if !strings.Contains(state.Runner.Reason, tt.reason) || len(state.Warnings) == 0 {
				t.Errorf("%+v %+v", state.Runner, state.Warnings)
			}
			begin := time.Now()
			if err := s.Switch(t.Context(), switching.Request{Route: claude.Cloud}); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("the way back took %s", took)
			}
		})
	}
}

// A Docker that accepts connections but never answers blocks nothing.
func TestADockerThatHangs(t *testing.T) {
	silent, err := net.Listen("unix", filepath.Join(socketFolder(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m := machineAt(t, "")
	m.Environ = []string{"DOCKER_HOST=unix://" + silent.Addr().String()}
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local, Model: "ai/x", Force: true})
	now := s.until("the state", func(s state.State) bool {
		return s.Route == claude.Local && strings.Contains(s.Runner.Reason, "Docker does not answer")
	})
	if now.Runner.State != state.Stopped || !strings.Contains(now.Runner.Remedy, "restart docker") {
		t.Errorf("%+v", now.Runner)
	}
	begin := time.Now()
	if status, body := prompt(t, m, "opus"); status != 503 || !strings.Contains(body, "Docker does not answer") {
		t.Errorf("a prompt got %d %s", status, body)
	}
	if err := s.Switch(t.Context(), switching.Request{Route: claude.Cloud}); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func page(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
}

// Without a tray, the command line cannot start a process that outlives it.
func TestTheCommandLineCannotRunTheProcess(t *testing.T) {
	m, _ := double(t, "")
	var refused *fault.Error
	if err := control.ControlRunner(t.Context(), m, localrunner.Start); !errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Remedy, "switchyard") {
		t.Errorf("%v", err)
	}
}

func TestTheRunnersStateOverTheSocket(t *testing.T) {
	m, behave := double(t, "ends at once")
	s := serve(t, m)
	if err := s.ControlRunner(t.Context(), localrunner.Start); err == nil {
		t.Error("it says that it was started")
	}
	s.until("the failure", func(s state.State) bool { return s.Runner.State == state.RunnerFailed && len(s.Failures) == 1 })
	look := status.Look(context.Background(), otherProcessAlike(t, m))
	if look.Runner.State != state.RunnerFailed || look.Runner.Reason == "" {
		t.Errorf("the command line says %+v", look.Runner)
	}
	if _, err := json.Marshal(look); err != nil {
		t.Error(err)
	}
	behave("")
	if err := control.ControlRunner(t.Context(), otherProcessAlike(t, m), localrunner.Restart); err != nil {
		t.Error(err)
	}
}

// killGroup kills the runner whose process group a lock file names.
func killGroup(t *testing.T, lock string) {
	t.Helper()
	data, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func alive(pid int) bool { return syscall.Kill(-pid, 0) == nil }

// A runner that Switchyard did not start is not stopped, and is as well as before.
func TestARefusedCommandChangesNothing(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, m)
	s.until("the runner", func(s state.State) bool { return s.Runner.State == state.Running })
	for _, verb := range []localrunner.Verb{localrunner.Start, localrunner.Stop} {
		var refused *fault.Error
		if err := s.ControlRunner(t.Context(), verb); !errors.As(err, &refused) || refused.Kind != fault.Refused {
			t.Errorf("%s: %v", verb, err)
		}
		if m.StoppedByPerson() {
			t.Errorf("%s is remembered as a stop", verb)
		}
		if err := s.BringUp(t.Context()); err != nil { // returns when the State shows how the runner is
			t.Fatal(err)
		}
		if now := s.State(); now.Runner.State != state.Running {
			t.Errorf("after %s: %+v", verb, now.Runner)
		}
	}
}
