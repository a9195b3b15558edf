//go:build unix

package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// line is a network between the runner and a registry that can be cut.
type line struct {
	address string // localhost:PORT
	sent    atomic.Int64
	speed   atomic.Int64 // bytes per ms; 0: as fast as it goes

	mu    sync.Mutex
	cuts  []int64 // after so many bytes
	down  time.Duration
	until time.Time // nothing is let through
	conns []net.Conn
}

func newLine(t *testing.T, registry string) *line {
	t.Helper()
	l := &line{}
	// Model Runner mistakes an error that names such a port for a 404.
	var listener net.Listener
	err := errors.New("no port")
	for port := 40400; err != nil && port < 40500; port++ {
		listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	l.address = fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	go func() { // ends with the listener
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", registry)
			if err != nil || l.isDown() {
				_ = from.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, from, to)
			l.mu.Unlock()
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { l.carry(from, to); _ = from.Close() }()
		}
	}()
	return l
}

func (l *line) carry(to, from net.Conn) {
	buffer := make([]byte, 256<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
				return
			}
			total := l.sent.Add(int64(n))
			if l.cut(total) {
				return
			}
			if speed := l.speed.Load(); speed > 0 {
				<-time.After(time.Duration(int64(n)/speed) * time.Millisecond)
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections when it is time, and refuses new ones for a while.
func (l *line) cut(total int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cuts) == 0 || total < l.cuts[0] {
		return false
	}
	l.cuts = l.cuts[1:]
	l.until = time.Now().Add(l.down)
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
	return true
}

func (l *line) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// pullMachine is a machine with a runner, and a registry with models behind a line.
func pullMachine(t *testing.T, models map[string]gguf.Model) (*machine.Machine, *line) {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, stop, err := lab.Registry(parts, t.TempDir(), models)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return scratchMachine(t, nil), newLine(t, address)
}

const large = 200 << 20

func TestAPullGoesOnAfterTheNetworkWasCut(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/large": {Size: large}})
	s := serve(t, m)
	l.cuts, l.down = []int64{50 << 20, 130 << 20}, 4*time.Second
	ref := l.address + "/ai/large"
	waits := 0
	var seen []string
	var before state.Pull
	last, err := pulls.Pull(t.Context(), otherProcess(t, m), ref, func(p state.Pull) {
		if p.State != before.State {
			seen = append(seen, string(p.State))
		}
		if p.State == state.Waiting && before.State != state.Waiting {
			waits++
		}
		if p.State == state.Pulling && p.Done < before.Done-(1<<20) {
			t.Errorf("it began again: %d after %d bytes", p.Done, before.Done)
		}
		before = p
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.State != state.PullDone || last.Size < large*99/100 || last.Context != 262144 || waits == 0 || len(l.cuts) > 0 {
		t.Errorf("%+v after %d waits: %v", last, waits, seen)
	}
	if sent := l.sent.Load(); sent > large+16<<20 {
		t.Errorf("%d MB came over the line for a model of %d MB", sent>>20, large>>20)
	} else {
		t.Logf("%.1f MB came over the line, twice cut, for a model of %d MB", float64(sent)/(1<<20), large>>20)
	}
	state := s.until("the model", func(s state.State) bool {
		return len(s.Models) == 1 && len(s.Pulls) == 1 && s.Pulls[0].State == state.PullDone
	})
	if state.Pulls[0].Others {
		t.Errorf("%+v", state.Pulls)
	}
}

func TestAQueueOfPullsAndACancelledOne(t *testing.T) {
	models := map[string]gguf.Model{}
	for i := range 5 {
		models[fmt.Sprintf("ai/m%d", i)] = gguf.Model{Size: 20 << 20}
	}
	m, l := pullMachine(t, models)
	l.speed.Store(20 << 10) // 20 MB/s
	s := serve(t, m)
	for i := range 5 {
		if _, err := s.Pull(t.Context(), fmt.Sprintf("%s/ai/m%d", l.address, i)); err != nil {
			t.Fatal(err)
		}
	}
	states := func(s state.State) string {
		var out []string
		for _, p := range s.Pulls {
			out = append(out, string(p.State))
		}
		return strings.Join(out, " ")
	}
	now := s.until("two at a time", func(s state.State) bool {
		return states(s) == "pulling pulling queued queued queued" && s.Pulls[0].Done > 0
	})
	// The one that is pulled and the last one are cancelled; a second request for one joins it.
	s.CancelPull(t.Context(), now.Pulls[0].Ref)
	s.CancelPull(t.Context(), now.Pulls[4].Ref)
	if _, err := s.Pull(t.Context(), now.Pulls[3].Ref); err != nil {
		t.Fatal(err)
	}
	s.until("the third", func(s state.State) bool { return strings.HasPrefix(states(s), "cancelled pulling pulling") })
	l.speed.Store(0)
	s.until("the end", func(s state.State) bool { return states(s) == "cancelled done done done cancelled" })
	if _, err := os.Stat(filepath.Join(m.Paths.State, "pulls.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left for the next start: %v", err)
	}
}

// An updated tag is reported as updated, and its old model is another one.
func TestAnUpdatedTag(t *testing.T) {
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/moving": {Size: 20 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	m := scratchMachine(t, nil)
	s := serve(t, m)
	tag := address + "/ai/moving"
	if _, err := pulls.Pull(t.Context(), otherProcess(t, m), tag, func(state.Pull) {}); err != nil {
		t.Fatal(err)
	}
	outdated := func(want int) {
		t.Helper()
		if got, err := models.Outdated(t.Context(), otherProcess(t, m), ""); err != nil || len(got) != want {
			t.Errorf("%d outdated, want %d: %v", len(got), want, err)
		}
	}
	outdated(0)
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.Command(parts.DockerModel, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.Home, "MODEL_RUNNER_HOST=" + m.Getenv("MODEL_RUNNER_HOST"), "MODEL_RUNNER_NO_AUTO_INSTALL=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker model %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	file := filepath.Join(t.TempDir(), "new.gguf")
	if err := gguf.WriteFile(file, gguf.Model{Name: "newer", Size: 25 << 20}); err != nil {
		t.Fatal(err)
	}
	docker("package", "--gguf", file, "--push", tag)
	outdated(1)
	docker("pull", tag)
	state := s.until("the update", func(s state.State) bool {
		return len(s.Pulls) == 1 && s.Pulls[0].Others && s.Pulls[0].State == state.PullDone
	})
	if !state.Pulls[0].Updated {
		t.Errorf("%+v", state.Pulls[0])
	}
	outdated(0)
}

// Ctrl-C in the command that pulls ends the pull.
func TestAnInterruptedCommandEndsThePull(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/large": {Size: large}})
	l.speed.Store(20 << 10)
	s := serve(t, m)
	ctx, interrupt := context.WithCancel(t.Context())
	_, err := pulls.Pull(ctx, otherProcess(t, m), l.address+"/ai/large", func(p state.Pull) {
		if p.Done > 1<<20 {
			interrupt()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "it was cancelled") {
		t.Errorf("%v", err)
	}
	s.until("the pull's end", func(s state.State) bool { return len(s.Pulls) == 1 && s.Pulls[0].State == state.Cancelled })
}

func TestAPullOutlivesSwitchyard(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/large": {Size: large}})
	l.speed.Store(50 << 10)
	s := serve(t, m)
	if _, err := s.Pull(t.Context(), l.address+"/ai/large"); err != nil {
		t.Fatal(err)
	}
	s.until("some of it", func(s state.State) bool { return len(s.Pulls) == 1 && s.Pulls[0].Done > 20<<20 })
	s.quit()
	l.speed.Store(0)
	s = serve(t, otherProcess(t, m))
	s.until("the model", func(s state.State) bool { return len(s.Pulls) == 1 && s.Pulls[0].State == state.PullDone })
	if sent := l.sent.Load(); sent > large+16<<20 {
		t.Errorf("%d MB came over the line", sent>>20)
	}
}

// A pull that was not started by Switchyard is noticed, on the cloud route too, without asking
// an idle runner.
func TestPullsOfOthers(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/theirs": {Size: 20 << 20}})
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, m)
	s.until("the runner", func(s state.State) bool { return s.Runner.State == state.Running })
	docker := func(args ...string) {
		t.Helper()
		cmd := exec.Command(parts.DockerModel, args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.Home, "MODEL_RUNNER_HOST=" + m.Getenv("MODEL_RUNNER_HOST"), "MODEL_RUNNER_NO_AUTO_INSTALL=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker model %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	ref := l.address + "/ai/theirs"
	l.speed.Store(10 << 10)
	docker("pull", ref)
	ended := time.Now()
	now := s.until("the notice", func(s state.State) bool { return len(s.Pulls) == 1 && s.Pulls[0].State == state.PullDone })
	t.Logf("noticed %s after docker model pull had ended", time.Since(ended).Round(time.Millisecond))
	if p := now.Pulls[0]; !p.Others || p.Updated || p.Size == 0 || time.Since(ended) > 5*time.Second {
		t.Errorf("%+v", p)
	}
	// Only a new model is reported: not the same one again, another tag, another context.
	docker("pull", ref)
	docker("tag", ref, "local/mine")
	s.Refresh()
	s.until("the tag", func(s state.State) bool { return len(s.Models) == 2 })
	s.until("silence about it", func(s state.State) bool { return len(s.Pulls) == 0 || s.Pulls[0].State != state.Pulling })
	if pulls := s.State().Pulls; len(pulls) > 0 && pulls[0].N != now.Pulls[0].N && pulls[0].State == state.PullDone {
		t.Errorf("told %+v", pulls)
	}
}

func TestImpossiblePulls(t *testing.T) {
	var answer atomic.Pointer[http.HandlerFunc]
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) }))
	t.Cleanup(registry.Close)
	host := "localhost:" + registry.URL[strings.LastIndexByte(registry.URL, ':')+1:]
	m := scratchMachine(t, nil)
	serve(t, m)
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	coded := func(code string) string {
		return `{"errors":[{"code":"` + code + `","message":"` + strings.ToLower(code) + `"}]}`
	}
	for _, tt := range []struct {
		name   string
		ref    string
		answer http.HandlerFunc
		want   string
	}{
		{"401", host + "/ai/x", says(401, coded("UNAUTHORIZED")), "wants a login"},
		{"403", host + "/ai/x", says(403, coded("DENIED")), "forbids it"},
		{"404", host + "/ai/x", says(404, coded("MANIFEST_UNKNOWN")), "has no such model"},
		{"429", host + "/ai/x", says(429, coded("TOOMANYREQUESTS")), "pull limit is reached"},
		{"no model", host + "/ai/x", says(200, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}`), ""},
		{"a bad name", "UPPER//x y", nil, "that is not a model's name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.answer != nil {
				answer.Store(&tt.answer)
			}
			_, err := pulls.Pull(t.Context(), otherProcess(t, m), tt.ref, func(state.Pull) {})
			var failed *fault.Error
			if !errors.As(err, &failed) || !strings.Contains(failed.Why, tt.want) || failed.Remedy == "" {
				t.Errorf("%v", err)
			}
			t.Log(err)
		})
	}
}

// Without a log, the store's index shows pulls.
func TestPullsOfOthersWithoutALog(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/theirs": {Size: 20 << 20}})
	target, err := url.Parse(m.Getenv("MODEL_RUNNER_HOST"))
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a runner older than 1.1.36
		if r.URL.Path == "/logs" {
			http.NotFound(w, r)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(old.Close)
	m.Environ = []string{"MODEL_RUNNER_HOST=" + old.URL}
	// Its store is where a Model Runner without Docker keeps it.
	store := filepath.Join(m.Home, ".docker", "models")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	s := serve(t, m)
	s.until("the runner", func(s state.State) bool { return s.Runner.State == state.Running })
	client := runner.NewClient(runner.Endpoint{URL: target.String()})
	defer client.Close()
	if err := client.Pull(t.Context(), l.address+"/ai/theirs", func(runner.Progress) {}); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	touch := func() bool {
		return os.WriteFile(filepath.Join(store, "models.json"), []byte(time.Now().String()), 0o600) == nil && len(s.State().Pulls) == 1
	}
	eventually(t, "the notice", touch)
	if p := s.State().Pulls[0]; p.State != state.PullDone || !p.Others || time.Since(ended) > 5*time.Second {
		t.Errorf("%+v after %s", p, time.Since(ended))
	}
}

// A model that the disk has no room for is refused before anything is downloaded.
func TestADiskThatIsFull(t *testing.T) {
	if !alone.Mounts(t) {
		return
	}
	store := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", store).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", store).Run() })
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	registry, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/large": {Size: large}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	m := machineAt(t, "")
	m.Paths.Runtime = socketFolder(t)
	m.Config.Engine, m.Config.ModelRunner, m.Config.LlamaServer = "process", parts.ModelRunner, filepath.Join(parts.EngineDir, "llama-server")
	m.Environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.Home, "MODELS_PATH=" + store}
	serve(t, m)
	_, err = pulls.Pull(t.Context(), otherProcessAlike(t, m), registry+"/ai/large", func(state.Pull) {})
	var failed *fault.Error
	if !errors.As(err, &failed) || failed.Why != "it needs 200.0 MiB, but only 100.0 MiB is free" && !strings.HasPrefix(failed.Why, "it needs 200.0 MiB, but only 99.") {
		t.Errorf("%v", err)
	}
	// If the size is not known beforehand, the runner finds out itself.
	client := runner.NewClient(runner.Endpoint{URL: "http://localhost", Socket: filepath.Join(m.Paths.Runtime, "runner.sock")})
	defer client.Close()
	err = client.Pull(t.Context(), registry+"/ai/large", func(runner.Progress) {})
	var pull *runner.PullError
	if !errors.As(err, &pull) || pull.Why != "the disk is full" || pull.Again {
		t.Errorf("%v", err)
	}
}

func TestNoPullsOffline(t *testing.T) {
	m, l := pullMachine(t, map[string]gguf.Model{"ai/large": {Size: large}, "ai/tiny": {}})
	l.speed.Store(10 << 10)
	s := serve(t, m)
	if _, err := pulls.Pull(t.Context(), otherProcess(t, m), l.address+"/ai/tiny", func(state.Pull) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), l.address+"/ai/large"); err != nil {
		t.Fatal(err)
	}
	s.until("some of it", func(s state.State) bool { return len(s.Pulls) == 2 && s.Pulls[1].Done > 1<<20 })
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Offline})
	s.until("the switch", func(s state.State) bool { return s.Route == claude.Offline && s.Pulls[1].State == state.Cancelled })
	_, err := pulls.Pull(t.Context(), otherProcess(t, m), "ai/x", func(state.Pull) {})
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Why, "the route is offline") {
		t.Errorf("%v", err)
	}
}
