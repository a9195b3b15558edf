package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Search says where to look for the runner and its engine.
type Search struct {
	Getenv      func(string) string
	Home        string
	Environ     []string // that a process of our own and a command of Docker's get
	Configured  string   // a runner's URL from the configuration; empty: none
	Wanted      Kind     // the configuration's engine; empty: find one
	Program     string   // model-runner or dmr, for the process kind; empty: beside this program or on the PATH
	LlamaServer string   // for the process kind; empty: on the PATH
	State       string   // folder for a process's working files and log
	Runtime     string   // folder for its socket
	Owner       bool     // this process may run one
	Usual       string   // host:port that a runner is looked for at when nothing names one; empty: nowhere
	Docker      string   // the socket of the machine's Docker; empty: there is none
}

// Find names what keeps this machine's runner alive, in the order of Docker's own
// command line: MODEL_RUNNER_HOST, the configuration, the current Model Runner
// context, Docker Desktop, Docker Engine's container; then a runner that answers
// at the usual address, then a process of our own. The error is an *Error about a
// setting that cannot be used.
func Find(ctx context.Context, s Search) (Engine, error) {
	if host := s.Getenv("MODEL_RUNNER_HOST"); host != "" {
		return named(host, "MODEL_RUNNER_HOST")
	}
	if s.Configured != "" {
		return named(s.Configured, `"runner" in config.toml`)
	}
	if host, err := s.context(); err != nil || host != "" {
		if err != nil {
			return nil, err
		}
		return named(host, s.contextsFile())
	}
	own := s.process()
	if s.Wanted == Process {
		return own, nil
	}
	docker, dockerErr := FindDocker(s.Getenv, s.Home, s.Docker)
	switch s.Wanted {
	case Container:
		return newContainer(docker, s), dockerErr
	case Desktop:
		return &desktopEngine{docker: docker, getenv: s.Getenv, home: s.Home, usual: s.Usual}, dockerErr
	case "":
	default:
		return nil, &Error{Code: Failed, Why: fmt.Sprintf("unknown engine %q", s.Wanted), Remedy: "choose container, desktop or process"}
	}
	if dockerErr != nil && !own.usable() {
		return nil, dockerErr
	}
	if dockerErr == nil && docker.Host != "" && !docker.remote() {
		if found := s.inDocker(ctx, docker, own); found != nil {
			return found, nil
		}
	}
	if s.Usual != "" && answers(ctx, s.Usual) {
		return &addressEngine{kind: Process, source: "the usual port", seen: Seen{URL: "http://" + s.Usual}}, nil
	}
	if own.usable() || own.program != "" && docker.Host == "" {
		return own, nil
	}
	if docker.Host != "" {
		return newContainer(docker, s), nil
	}
	return &addressEngine{kind: None, source: "the usual port", seen: Seen{URL: fmt.Sprintf("http://127.0.0.1:%d", Port),
		State: Absent, Problem: &Error{Code: NoDocker, Why: "neither Docker nor Model Runner was found",
			Remedy: "install Docker (https://docs.docker.com/engine/install/) and then switchyard runner install; or put model-runner beside switchyard and install llama.cpp's llama-server"}}}, nil
}

// inDocker is the engine that Docker gives; nil when another kind serves better.
func (s Search) inDocker(ctx context.Context, docker *Docker, own *processEngine) Engine {
	container := newContainer(docker, s)
	found, err := container.find(ctx)
	problem := (*Error)(nil)
	if err != nil {
		problem = docker.problem(err)
	}
	switch {
	case problem != nil && problem.Code == DockerDenied && own.usable():
		return nil
	case problem != nil && docker.desktop():
		return &desktopEngine{docker: docker, getenv: s.Getenv, home: s.Home, usual: s.Usual}
	case problem != nil || found != nil:
		return container
	case docker.isDesktop(ctx):
		return &desktopEngine{docker: docker, getenv: s.Getenv, home: s.Home, usual: s.Usual}
	}
	return nil
}

// isDesktop asks Docker what it is. Docker Desktop for Linux does not serve models
// itself: there the container does.
func (d *Docker) isDesktop(ctx context.Context) bool {
	if runtime.GOOS == "linux" && !underWSL() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	api, err := d.api()
	if err != nil {
		return false
	}
	info, err := api.Info(ctx)
	return err == nil && info.OperatingSystem == "Docker Desktop"
}

func underWSL() bool {
	version, err := os.ReadFile("/proc/version")
	return err == nil && strings.Contains(strings.ToLower(string(version)), "microsoft")
}

// answers reports whether anything listens there.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// named is an address that a person wrote down.
func named(host, source string) (Engine, error) {
	text := host
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.Scheme == "unix" && u.Path != "":
		return &addressEngine{kind: Process, source: source, seen: Seen{URL: "http://localhost", Socket: u.Path, Named: source}}, nil
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, &Error{Code: Failed, Why: fmt.Sprintf("%s is not an address such as http://127.0.0.1:%d", source, Port), Remedy: "correct it"}
	}
	kind := Remote
	if Loopback(u.Hostname()) {
		kind = Process
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/anthropic")
	u.RawQuery, u.Fragment = "", ""
	seen := Seen{URL: u.String(), Named: source}
	if kind == Remote && u.Scheme == "http" {
		seen.Exposed = u.Host
	}
	return &addressEngine{kind: kind, source: source, seen: seen}, nil
}

func (s Search) contextsFile() string {
	dir := s.Getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(s.Home, ".docker")
	}
	return filepath.Join(dir, "model", "contexts.json")
}

// context is the host of the current Model Runner context; empty for the default one.
func (s Search) context() (string, error) {
	data, err := os.ReadFile(s.contextsFile())
	if err != nil {
		return "", nil
	}
	var file struct {
		Current  string
		Contexts map[string]struct{ Host string }
	}
	wrong := func(why string) error {
		return &Error{Code: Failed, Why: s.contextsFile() + " " + why, Remedy: "choose a context again: docker model context use default"}
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return "", wrong("is not JSON")
	}
	if file.Current == "" || file.Current == "default" {
		return "", nil
	}
	entry, ok := file.Contexts[file.Current]
	if !ok {
		return "", wrong(fmt.Sprintf("names a context %q that it does not hold", file.Current))
	}
	return entry.Host, nil
}

// process is the engine for a runner of our own.
func (s Search) process() *processEngine {
	p := &processEngine{
		dir: filepath.Join(s.State, "runner"), log: filepath.Join(s.State, "model-runner.log"),
		socket: filepath.Join(s.Runtime, "runner.sock"), owner: s.Owner, environ: s.Environ, home: s.Home,
	}
	p.program, p.args = s.program()
	p.llama = func() string { return s.llamaServer() }
	return p
}

// program is the runner's binary: as configured, beside this program, on the PATH.
func (s Search) program() (path string, args []string) {
	serve := func(path string) []string {
		if strings.HasPrefix(filepath.Base(path), "dmr") {
			return []string{"serve"}
		}
		return nil
	}
	if s.Program != "" {
		return s.Program, serve(s.Program)
	}
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		dir := filepath.Dir(self)
		for _, beside := range []string{filepath.Join(dir, "model-runner"+suffix), filepath.Join(dir, "..", "libexec", "switchyard", "model-runner"+suffix)} {
			if exists(beside) {
				return beside, nil
			}
		}
	}
	for _, name := range []string{"model-runner", "dmr"} {
		if path := LookPath(name+suffix, s.Getenv("PATH")); path != "" {
			return path, serve(path)
		}
	}
	return "", nil
}

func (s Search) llamaServer() string {
	if s.LlamaServer != "" {
		return s.LlamaServer
	}
	name := "llama-server"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return LookPath(name, s.Getenv("PATH"))
}

// LookPath is exec.LookPath for a PATH that is not this process's own.
func LookPath(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(dir) {
			return file
		}
	}
	return ""
}
