package engine

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// desktopPrefix is where Docker Desktop serves Model Runner on its own socket
// (pkg/inference/api.go in docker/model-runner v1.2.6).
const desktopPrefix = "/exp/vDD4.40"

// desktopEngine is the Model Runner in Docker Desktop. It is switched on and off
// with Docker's desktop command (docs.docker.com/ai/model-runner/get-started,
// docs.docker.com/desktop/features/desktop-cli).
type desktopEngine struct {
	docker *Docker
	getenv func(string) string
	home   string
	usual  string       // host:port where it serves TCP when nothing else is known; empty: nowhere
	port   atomic.Int64 // where it was told to serve TCP; 0: nowhere yet
}

func (d *desktopEngine) Kind() Kind { return Desktop }

func (d *desktopEngine) Place() string { return d.docker.Host }

func (d *desktopEngine) Look(ctx context.Context) Seen {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	address := d.usual
	if port := d.port.Load(); port != 0 {
		address = net.JoinHostPort("127.0.0.1", strconv.FormatInt(port, 10))
	}
	tcp := Seen{State: Running, Controlled: true, URL: "http://" + cmp.Or(address, net.JoinHostPort("127.0.0.1", strconv.Itoa(Port)))}
	if err := d.docker.ping(ctx); err != nil {
		problem := d.docker.problem(err)
		if problem.Code == DockerDown {
			problem = &Error{Code: DesktopDown, Why: "Docker Desktop is not running", Remedy: "start it: docker desktop start", Err: err}
		}
		return Seen{State: Stopped, Controlled: true, Meant: true, URL: tcp.URL, Why: problem.Why, Problem: problem}
	}
	d.docker.heard()
	on := Seen{State: Running, Controlled: true, URL: "http://localhost" + desktopPrefix, Socket: d.docker.socket()}
	if on.Socket == "" { // HTTP clients cannot use Windows' named pipe as an address
		on = tcp
	}
	if !serves(ctx, on) {
		return Seen{State: Stopped, Controlled: true, Meant: true, URL: tcp.URL, Why: "it is not enabled in Docker Desktop",
			Problem: &Error{Code: NotInstalled, Why: "Model Runner is not enabled in Docker Desktop", Remedy: fmt.Sprintf("enable it: docker desktop enable model-runner --tcp %d", Port)}}
	}
	if address != "" && answers(ctx, address) {
		return tcp
	}
	return on
}

// serves reports whether a runner's API is there.
func serves(ctx context.Context, at Seen) bool {
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dialer(at.Socket), DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.URL+"/models", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Watch calls changed when Docker Desktop stops or starts. There is no event for Model
// Runner being switched on or off inside it.
func (d *desktopEngine) Watch(ctx context.Context, changed func()) {
	d.docker.watch(ctx, filters.NewArgs(filters.Arg("type", "daemon")), func(events.Message) {}, changed)
}

// command runs one of Docker's desktop commands.
func (d *desktopEngine) command(ctx context.Context, progress func(string), args ...string) error {
	name := "docker"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	docker := LookPath(name, d.getenv("PATH"))
	if docker == "" {
		return &Error{Code: NoDocker, Why: "the docker command is not on the PATH", Remedy: "start Docker Desktop by hand, and enable Model Runner in its settings (AI)"}
	}
	said, err := told(exec.CommandContext(ctx, docker, append([]string{"desktop"}, args...)...), progress)
	if err != nil {
		return &Error{Code: Failed, Why: "docker desktop " + strings.Join(args, " ") + ": " + cmp.Or(said, err.Error()),
			Remedy: "do it in Docker Desktop: Settings, AI, Enable Docker Model Runner and host-side TCP support", Err: err}
	}
	return nil
}

func quietly(string) {}

func (d *desktopEngine) Start(ctx context.Context) error { return d.Install(ctx, Install{}, quietly) }

// Install starts Docker Desktop where it does not run and enables Model Runner in it.
func (d *desktopEngine) Install(ctx context.Context, how Install, progress func(string)) error {
	if d.docker.ping(ctx) != nil {
		progress("starting Docker Desktop")
		if err := d.command(ctx, progress, "start"); err != nil {
			return err
		}
	}
	port := cmp.Or(how.Port, int(d.port.Load()), Port)
	if err := d.command(ctx, progress, "enable", "model-runner", "--tcp", strconv.Itoa(port)); err != nil {
		return err
	}
	d.port.Store(int64(port))
	return nil
}

func (d *desktopEngine) Stop(ctx context.Context) error {
	return d.command(ctx, quietly, "disable", "model-runner")
}

func (d *desktopEngine) Restart(ctx context.Context) error {
	if err := d.Stop(ctx); err != nil {
		return err
	}
	return d.Start(ctx)
}

// Logs reads Docker Desktop's own files (cmd/cli/commands/logs.go in
// docker/model-runner v1.2.6), and else asks the runner.
func (d *desktopEngine) Logs(ctx context.Context, to io.Writer, lines int, follow bool) error {
	var file string
	switch runtime.GOOS {
	case "darwin":
		file = filepath.Join(d.home, "Library", "Containers", "com.docker.docker", "Data", "log", "host", "inference.log")
	case "windows":
		file = filepath.Join(d.getenv("LOCALAPPDATA"), "Docker", "log", "host", "inference.log")
	}
	if file != "" && exists(file) {
		return tail(ctx, file, to, lines, follow)
	}
	look, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	path := "/logs"
	if follow {
		path += "?follow=true"
	}
	return fetchLogs(ctx, d.Look(look), path, to)
}
