package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gopsnet "github.com/shirou/gopsutil/v4/net"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// own is a real model-runner as this process's own, with the engine double.
func own(t *testing.T, dir string) *processEngine {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "run") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	s := Search{
		Getenv: from(nil), Home: dir, Environ: []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "MODEL_RUNNER_PORT=1", "MODELS_PATH=" + filepath.Join(dir, "models")},
		Wanted: Process, Program: parts.ModelRunner, LlamaServer: filepath.Join(parts.EngineDir, "llama-server"), State: dir, Runtime: run, Owner: true,
	}
	e, err := Find(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	p := e.(*processEngine)
	t.Cleanup(p.Close)
	return p
}

// up starts it and waits until it answers.
func (p *processEngine) up(t *testing.T) {
	t.Helper()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.untilAnswers(t)
}

func (p *processEngine) untilAnswers(t *testing.T) {
	t.Helper()
	until(t, "an answer", func() bool { return serves(t.Context(), Seen{URL: "http://localhost", Socket: p.socket}) })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.After(20 * time.Second); !ok(); {
		select {
		case <-limit:
			t.Fatal("waited in vain for " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// running is the run that is up.
func (p *processEngine) running() (head int, ended <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.group.pid, p.child.ended
}

// load has it start an engine.
func (p *processEngine) load(t *testing.T) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dialer(p.socket)}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://localhost/v1/chat/completions", "application/json", strings.NewReader(`{"model":"ai/tiny","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
}

// family lists the processes of a group that are not dead.
func family(pgid int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// addTiny puts a tiny model into the runner's store.
func addTiny(t *testing.T, dir string) {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := lab.StartRunner(t.Context(), parts, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Stop()
	if err := r.Add(t.Context(), "ai/tiny", gguf.Model{}); err != nil {
		t.Fatal(err)
	}
}

func TestARunnerOfOurOwn(t *testing.T) {
	dir := t.TempDir()
	addTiny(t, dir)
	p := own(t, dir)
	events := make(chan struct{}, 100)
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.Watch(ctx, func() { events <- struct{}{} })
	}()
	defer func() { stop(); <-watched }()
	if seen := p.Look(t.Context()); seen.State != Stopped || seen.Problem != nil || !seen.Controlled {
		t.Errorf("at first %+v %v", seen, seen.Problem)
	}
	p.up(t)
	p.load(t)
	head, _ := p.running()
	if n := len(family(head)); n < 2 {
		t.Fatalf("%d processes, want the runner and its engine", n)
	}
	for _, pid := range family(head) {
		opened, err := gopsnet.ConnectionsPidWithContext(t.Context(), "tcp", int32(pid))
		if err != nil || slices.ContainsFunc(opened, func(c gopsnet.ConnectionStat) bool { return c.Status == "LISTEN" }) {
			t.Errorf("it opened a port: %+v %v", opened, err)
		}
	}
	first := p.Look(t.Context())
	// The runner dies: its engine goes too.
	if err := syscall.Kill(head, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-events
	if seen := p.Look(t.Context()); seen.State != Stopped || seen.Meant || seen.Why != "it ended: signal: killed" || seen.Run == first.Run {
		t.Errorf("after a kill %+v", seen)
	}
	until(t, "the engine's end", func() bool { return len(family(head)) == 0 })
	// Stopped and started again.
	p.up(t)
	p.load(t)
	head, _ = p.running()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := p.Look(t.Context()); seen.State != Stopped || !seen.Meant || len(family(head)) > 0 || exists(p.socket) {
		t.Errorf("after a stop %+v, left %v", seen, family(head))
	}
	p.up(t)
	second := p.Look(t.Context()).Run
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.untilAnswers(t)
	if seen := p.Look(t.Context()); seen.State != Running || seen.Run == second {
		t.Errorf("after a restart %+v", seen)
	}
	var log bytes.Buffer
	if err := p.Logs(t.Context(), &log, 5, false); err != nil || strings.Count(log.String(), "\n") != 5 {
		t.Errorf("%v %q", err, log.String())
	}
}

// A hundred times the runner is killed, and comes back: nothing is left over.
func TestAHundredKillsLeaveNothing(t *testing.T) {
	p := own(t, t.TempDir())
	p.up(t)
	before := 0
	for i := range 101 {
		if i == 1 {
			before = openFiles(t)
		}
		head, ended := p.running()
		if err := syscall.Kill(head, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-ended
		// What the runner had just started is killed too, and dies a moment later.
		until(t, "the end of the group", func() bool { return len(family(head)) == 0 })
		if exists(p.socket) {
			t.Fatalf("round %d: the socket is left", i)
		}
		p.up(t)
	}
	if after := openFiles(t); after > before+2 {
		t.Errorf("%d open files, %d before", after, before)
	}
}

// TestMain is also another user's process, and the Switchyard that is killed in a test below.
func TestMain(m *testing.M) {
	if socket := os.Getenv("TEST_DENIED"); socket != "" {
		d := &Docker{Host: "unix://" + socket, nudge: make(chan struct{}, 1)}
		fmt.Print(d.problem(d.ping(context.Background())).Code)
		os.Exit(0)
	}
	if dir := os.Getenv("TEST_OWNER"); dir != "" {
		s := Search{Getenv: os.Getenv, Home: dir, Environ: os.Environ(), Wanted: Process, Program: os.Getenv("TEST_PROGRAM"),
			LlamaServer: os.Getenv("TEST_LLAMA"), State: dir, Runtime: os.Getenv("TEST_RUN"), Owner: true}
		e, err := Find(context.Background(), s)
		if err == nil {
			err = e.Start(context.Background())
		}
		fmt.Println(err)
		select {}
	}
	alone.Main(m)
}

// Docker's socket is root's, as it is without the docker group; where this is not
// root, it is one that this user may not use.
func TestASocketThatMayNotBeUsed(t *testing.T) {
	dir, err := os.MkdirTemp("", "dock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	mode := fs.FileMode(0o660)
	if os.Getuid() != 0 {
		mode = 0
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(socket, mode)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		d := &Docker{Host: "unix://" + socket, nudge: make(chan struct{}, 1)}
		if problem := d.problem(d.ping(t.Context())); problem.Code != DockerDenied {
			t.Error(problem)
		}
		return
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test") // where anybody may run it
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied)
	cmd.Dir, cmd.Env = dir, []string{"TEST_DENIED=" + socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != DockerDenied {
		t.Errorf("%v %s", err, out)
	}
}

func TestAKilledSwitchyardLeavesNoRunner(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("a runner that does not end, %t", deaf), func(t *testing.T) {
			dir := t.TempDir()
			p := own(t, dir)
			program := p.program
			if deaf {
				program = filepath.Join(dir, "deaf")
				write(t, program, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n")
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "TEST_OWNER="+dir, "TEST_PROGRAM="+program, "TEST_LLAMA="+p.llama(), "TEST_RUN="+filepath.Dir(p.socket),
				"HOME="+dir, "MODELS_PATH="+filepath.Join(dir, "models"))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := make([]byte, 100)
			n, _ := out.Read(said)
			if text := strings.TrimSpace(string(said[:n])); text != "<nil>" {
				t.Fatal(text)
			}
			var head int
			until(t, "its process group", func() bool {
				data, _ := os.ReadFile(filepath.Join(p.dir, "lock"))
				head, _ = strconv.Atoi(strings.TrimSpace(string(data)))
				return head > 1
			})
			if !deaf {
				p.untilAnswers(t)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if !deaf {
				until(t, "the runner's end", func() bool { return len(family(head)) == 0 })
			}
			// The next one ends what is left, and runs its own.
			p.up(t)
			if left := family(head); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
}

func TestWhatAProcessLacks(t *testing.T) {
	dir := t.TempDir()
	llama := filepath.Join(dir, "llama-server")
	program := filepath.Join(dir, "model-runner")
	write(t, program, "#!/bin/sh\necho 'panic: no luck' >&2\nexit 3\n")
	for _, tt := range []struct {
		name, program, llama string
		code                 string
	}{
		{"no program", filepath.Join(dir, "none"), llama, NoProgram},
		{"no llama-server", program, "", NoLlamaServer},
	} {
		p := (Search{Getenv: from(nil), Home: dir, Program: tt.program, LlamaServer: tt.llama, State: dir, Runtime: dir, Owner: true}).process()
		var e *Error
		if err := p.Start(t.Context()); !errors.As(err, &e) || e.Code != tt.code || p.usable() {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	p := (Search{Getenv: from(nil), Home: dir, Program: program, LlamaServer: llama, State: dir, Runtime: dir, Owner: true}).process()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return p.Look(t.Context()).State == Stopped })
	if seen := p.Look(t.Context()); seen.Why != "it ended: exit status 3" || seen.Meant {
		t.Errorf("%+v", seen)
	}
	var log bytes.Buffer
	if err := p.Logs(t.Context(), &log, 10, false); err != nil || log.String() != "panic: no luck\n" {
		t.Errorf("%v %q", err, log.String())
	}
	stranger := (Search{Getenv: from(nil), Home: dir, Program: program, LlamaServer: llama, State: dir, Runtime: dir}).process()
	var e *Error
	if err := stranger.Start(t.Context()); !errors.As(err, &e) || e.Code != NotOurs {
		t.Errorf("a command line started it: %v", err)
	}
}

func TestTheLogIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	line := strings.Repeat("x", 1023) + "\n"
	for range maxLog / len(line) {
		if _, err := file.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := rotate(path); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("new\n"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "new\n" {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != maxLog {
		t.Errorf("%v %v", info, err)
	}
}

func TestTheLastLines(t *testing.T) {
	for _, tt := range []struct {
		text  string
		lines int
		want  string
	}{
		{"", 3, ""}, {"a\n", 3, "a\n"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 2, "b\nc"}, {"a\nb\nc\n", 3, "a\nb\nc\n"}, {"\n\n\n", 1, "\n"},
		{strings.Repeat("long ", 50_000) + "\nb\n", 1, "b\n"}, {"a\n" + strings.Repeat("x", 200_000) + "\n", 1, strings.Repeat("x", 200_000) + "\n"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		write(t, path, tt.text)
		var got bytes.Buffer
		if err := tail(t.Context(), path, &got, tt.lines, false); err != nil || got.String() != tt.want {
			t.Errorf("%d of %.20q: %v %.20q", tt.lines, tt.text, err, got.String())
		}
	}
}
