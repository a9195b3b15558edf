package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// processEngine runs model-runner as a child, on a unix socket that only this user
// can open. It ends with this process, and its own engines with it.
type processEngine struct {
	program string // empty: there is none
	args    []string
	llama   func() string // where llama-server is; empty: nowhere
	socket  string
	dir     string // working folder
	log     string
	environ []string
	home    string
	owner   bool // this process may run it

	mu      sync.Mutex
	child   *child // nil: none runs
	runs    int
	since   time.Time
	how     string
	meant   bool
	changed func()
}

// child is the runner's process, from its start to its end.
type child struct {
	cmd   *exec.Cmd
	group *group
	ended chan struct{} // closed when the engine has noted it
}

func (p *processEngine) Kind() Kind { return Process }

func (p *processEngine) Place() string { return p.socket }

// usable reports whether a runner of our own can answer.
func (p *processEngine) usable() bool { return p.program != "" && p.missing() == nil }

// missing says what is needed to run one; nil when nothing is.
func (p *processEngine) missing() *Error {
	switch {
	case p.program == "":
		return &Error{Code: NoProgram, Why: "no model-runner was found beside switchyard or on the PATH", Remedy: "put it there (make build builds it), or name it: model_runner in config.toml"}
	case !exists(p.program):
		return &Error{Code: NoProgram, Why: "there is no " + p.program, Remedy: "correct model_runner in config.toml"}
	// Elsewhere the runner downloads llama.cpp itself.
	case runtime.GOOS == "linux" && p.llama() == "":
		return &Error{Code: NoLlamaServer, Why: "Model Runner needs llama.cpp's llama-server, which is not on the PATH",
			Remedy: "install llama.cpp (Debian and Ubuntu: sudo apt install llama.cpp; Homebrew: brew install llama.cpp; else https://github.com/ggml-org/llama.cpp/releases), or set llama_server in config.toml"}
	}
	return nil
}

func (p *processEngine) Look(ctx context.Context) Seen {
	seen := Seen{State: Stopped, URL: "http://localhost", Socket: p.socket, Controlled: true, Problem: p.missing(), Store: p.store()}
	if !p.owner {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", p.socket); err == nil {
			_ = conn.Close()
			seen.State = Running
			seen.Problem = nil
		}
		return seen
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seen.Since, seen.Why, seen.Meant = p.since, p.how, p.meant
	if p.child != nil {
		seen.State, seen.Run, seen.Why, seen.Problem = Running, fmt.Sprint(p.runs), "", nil
		_ = rotate(p.log)
	}
	return seen
}

func (p *processEngine) Watch(ctx context.Context, changed func()) {
	p.mu.Lock()
	p.changed = changed
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.changed = nil
	p.mu.Unlock()
}

func (p *processEngine) elsewhere() error {
	return &Error{Code: NotOurs, Why: "Switchyard runs Model Runner itself, and is not running now", Remedy: "start it: switchyard"}
}

func (p *processEngine) Start(ctx context.Context) error {
	if !p.owner {
		return p.elsewhere()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil {
		return nil
	}
	if missing := p.missing(); missing != nil {
		return missing
	}
	c, err := p.start(ctx)
	if err != nil {
		return &Error{Code: Failed, Why: p.program + " does not start: " + err.Error(), Remedy: "see its log: switchyard runner logs", Err: err}
	}
	p.child, p.since, p.how, p.meant = c, time.Now(), "", false
	p.runs++
	return nil
}

// start starts the program in a group of its own.
func (p *processEngine) start(ctx context.Context) (*child, error) {
	for _, dir := range []string{p.dir, filepath.Dir(p.log), filepath.Dir(p.socket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	g, err := newGroup(ctx, filepath.Join(p.dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := rotate(p.log); err != nil {
		return nil, err
	}
	// A file, not a pipe: a pipe that breaks when Switchyard is killed would end the
	// runner before it has ended its own engines.
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.program, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = p.environment()
	c := &child{cmd: cmd, group: g, ended: make(chan struct{})}
	started := make(chan error)
	go func() { // ends with the child
		// The kernel ends the child with the thread that started it, so that thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := g.start(cmd)
		started <- err
		if err == nil {
			err = cmd.Wait()
			g.kill() // its engines
			p.note(err)
			close(c.ended)
		}
	}()
	return c, <-started
}

// store is where the runner keeps its models.
func (p *processEngine) store() string {
	for _, pair := range slices.Backward(p.environ) {
		if dir, ok := strings.CutPrefix(pair, "MODELS_PATH="); ok && dir != "" {
			return dir
		}
	}
	return filepath.Join(p.home, ".docker", "models")
}

// environment is what the runner gets: the user's, with our own settings.
func (p *processEngine) environment() []string {
	env := slices.DeleteFunc(slices.Clone(p.environ), func(pair string) bool {
		return strings.HasPrefix(pair, "MODEL_RUNNER_") || strings.HasPrefix(pair, "SWITCHYARD_")
	})
	env = append(env, "MODEL_RUNNER_SOCK="+p.socket, "MODEL_RUNNER_LOG_DIR="+p.dir, "DO_NOT_TRACK=1")
	if llama := p.llama(); llama != "" {
		env = append(env, "LLAMA_SERVER_PATH="+filepath.Dir(llama), "DISABLE_SERVER_UPDATE=1")
	}
	return env
}

// note records how a run ended, and tells whoever watches.
func (p *processEngine) note(err error) {
	_ = os.Remove(p.socket)
	p.mu.Lock()
	p.child, p.since = nil, time.Now()
	if p.how == "" {
		p.how = "it ended"
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			p.how = "it ended: " + exit.String()
		}
	}
	changed := p.changed
	p.mu.Unlock()
	if changed != nil {
		changed()
	}
}

// endGrace is how long a runner may take to end its engines.
const endGrace = 3 * time.Second

func (p *processEngine) Stop(ctx context.Context) error {
	if !p.owner {
		return p.elsewhere()
	}
	p.mu.Lock()
	c := p.child
	if c != nil {
		p.how, p.meant = "it was stopped", true
	}
	p.mu.Unlock()
	if c == nil {
		return nil
	}
	c.group.end()
	select {
	case <-c.ended:
	case <-ctx.Done():
	case <-time.After(endGrace):
	}
	c.group.kill()
	<-c.ended
	return nil
}

// Close ends the runner for good.
func (p *processEngine) Close() {
	if p.owner {
		_ = p.Stop(context.Background())
	}
}

func (p *processEngine) Restart(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.Start(ctx)
}

// maxLog is how large the log grows before it is set aside.
const maxLog = 4 << 20

// rotate sets a large log aside. The runner goes on writing to the same file,
// which it opened for appending.
func rotate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() < maxLog {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}

func (p *processEngine) Logs(ctx context.Context, to io.Writer, lines int, follow bool) error {
	return tail(ctx, p.log, to, lines, follow)
}

// tail writes the end of a file, and with follow what is added to it.
func tail(ctx context.Context, path string, to io.Writer, lines int, follow bool) error {
	file, err := os.Open(path)
	if err != nil {
		return &Error{Code: Failed, Why: "there is no log yet (" + path + ")", Remedy: "start Model Runner: switchyard runner start", Err: err}
	}
	defer file.Close()
	failed := func(err error) error {
		return &Error{Code: Failed, Why: "the log " + path + " cannot be read", Remedy: "make it readable", Err: err}
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return failed(err)
	}
	defer notify.Close()
	if follow {
		if err := notify.Add(path); err != nil {
			return failed(err)
		}
	}
	if err := seekLines(file, lines); err != nil {
		return failed(err)
	}
	for {
		if _, err := io.Copy(to, file); err != nil {
			return failed(err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-notify.Events:
		case <-notify.Errors:
		}
		at, _ := file.Seek(0, io.SeekCurrent)
		if info, err := file.Stat(); err == nil && info.Size() < at { // it was set aside
			_, _ = file.Seek(0, io.SeekStart)
		}
	}
}

// seekLines goes to the beginning of the last lines.
func seekLines(file *os.File, lines int) error {
	const chunk = 64 << 10
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	found := 0
	buffer := make([]byte, chunk)
	for at := end; at > 0; {
		size := min(at, chunk)
		at -= size
		if _, err := file.ReadAt(buffer[:size], at); err != nil && err != io.EOF {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if buffer[i] != '\n' || at+i == end-1 { // the last line's own end does not count
				continue
			}
			if found++; found == lines {
				_, err := file.Seek(at+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// dialer reaches a socket, or TCP when there is none.
func dialer(socket string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 3 * time.Second}
	if socket == "" {
		return d.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }
}
