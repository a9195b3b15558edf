package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/stdcopy"
)

// runnerLabel marks Model Runner's container; its value does not matter.
const runnerLabel = "com.docker.desktop.service"

const (
	roleLabel  = "com.docker.model-runner.role"
	controller = "controller"
	// runnerImage is what install-runner makes the container of.
	runnerImage = "docker/model-runner"
)

// containerEngine is Model Runner's container in a Docker Engine.
type containerEngine struct {
	docker  *Docker
	getenv  func(string) string
	environ []string // that a command of Docker's gets
	home    string
	usual   string // host:port of a runner while Docker cannot be asked for it

	mu     sync.Mutex
	id     string // of the container that was looked at last
	signal string // what is about to end it
	meant  bool   // the last end was wanted, not a crash
	how    string // "it was killed" …, of the last end
	last   Seen   // when it was last there: a removed one comes back like that
}

func newContainer(d *Docker, s Search) *containerEngine {
	return &containerEngine{docker: d, getenv: s.Getenv, environ: s.Environ, home: s.Home, usual: s.Usual}
}

func (c *containerEngine) Kind() Kind { return Container }

func (c *containerEngine) Place() string { return c.docker.Host }

func (c *containerEngine) Look(ctx context.Context) Seen {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	found, err := c.find(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return Seen{Problem: c.docker.problem(err), URL: cmp.Or(c.last.URL, "http://"+c.usual)}
	}
	c.docker.heard()
	if found == nil {
		return Seen{State: Absent, Controlled: true, Meant: c.meant, Why: c.how, URL: c.last.URL,
			Problem: notInstalled()}
	}
	seen := seenContainer(*found)
	if seen.State == Stopped || seen.State == Ending {
		seen.Meant = seen.Meant || c.meant
		seen.Why = cmp.Or(seen.Why, c.how)
	}
	c.id, c.last = found.ID, seen
	return seen
}

func notInstalled() *Error {
	return &Error{Code: NotInstalled, Why: "Model Runner is not installed in Docker", Remedy: "install it: switchyard runner install"}
}

// find inspects Model Runner's container; nil when there is none.
func (c *containerEngine) find(ctx context.Context) (*container.InspectResponse, error) {
	if err := c.docker.ping(ctx); err != nil {
		return nil, err
	}
	api, err := c.docker.api()
	if err != nil {
		return nil, err
	}
	all, err := api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", runnerLabel))})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s container.Summary) bool { return s.Labels[runnerLabel] != "model-runner" })
	slices.SortStableFunc(all, func(a, b container.Summary) int { return rank(a) - rank(b) })
	for _, one := range all {
		found, err := api.ContainerInspect(ctx, one.ID)
		if errdefs.IsNotFound(err) {
			continue // removed between the two calls
		}
		return &found, err
	}
	return nil, nil
}

// rank puts a running controller first.
func rank(s container.Summary) (r int) {
	if s.Labels[roleLabel] != controller {
		r += 2
	}
	if s.State != container.StateRunning {
		r++
	}
	return r
}

// seenContainer reads an inspected container.
func seenContainer(found container.InspectResponse) Seen {
	seen := Seen{State: Stopped, Controlled: true, Container: strings.TrimPrefix(found.Name, "/")}
	state := found.State
	switch {
	case state.Restarting:
		seen.State = Ending
	case state.Running && !state.Paused:
		seen.State, seen.Run = Running, found.ID+state.StartedAt
		seen.Since, _ = time.Parse(time.RFC3339Nano, state.StartedAt)
	case state.Paused:
		seen.Meant, seen.Why = true, "it is paused (docker unpause "+seen.Container+")"
	default:
		seen.Since, _ = time.Parse(time.RFC3339Nano, state.FinishedAt)
	}
	if seen.State != Running {
		switch {
		case state.OOMKilled:
			seen.Why = "the machine ran out of memory and killed it"
		case state.Error != "":
			seen.Why = state.Error
		case state.ExitCode != 0 && state.ExitCode < 128:
			seen.Why = fmt.Sprintf("it ended with exit code %d", state.ExitCode)
		}
	}
	seen.URL, seen.Exposed = published(found.HostConfig.PortBindings)
	seen.Tracks = !slices.Contains(found.Config.Env, "DO_NOT_TRACK=1")
	for _, pair := range found.Config.Env {
		if value, ok := strings.CutPrefix(pair, "DMR_ORIGINS="); ok && slices.Contains(strings.Split(value, ","), "*") {
			seen.OpenOrigins = true
		}
	}
	for _, m := range found.Mounts {
		if m.Destination == "/models" {
			seen.Store = m.Source
		}
	}
	seen.GPU = len(found.HostConfig.DeviceRequests) > 0 || len(found.HostConfig.Devices) > 0 || found.HostConfig.Runtime == "nvidia"
	return seen
}

func (c *containerEngine) Watch(ctx context.Context, changed func()) {
	match := filters.NewArgs(filters.Arg("type", "container"), filters.Arg("label", runnerLabel))
	c.docker.watch(ctx, match, c.event, changed)
}

// event remembers whether an end was wanted: Docker tells only in the moment. A
// stop and a removal are, a kill and a crash are not.
func (c *containerEngine) event(m events.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Action {
	case events.ActionStart:
		c.signal, c.meant, c.how = "", false, ""
	case events.ActionOOM:
		c.signal = "the machine ran out of memory"
	case events.ActionKill:
		if signal := m.Actor.Attributes["signal"]; signal == "9" || signal == "SIGKILL" {
			c.signal = "it was killed"
		}
	case events.ActionDie: // before a stop and a removal are told
		c.meant, c.how = false, cmp.Or(c.signal, ended(m.Actor.Attributes["exitCode"]))
		c.signal = ""
	case events.ActionStop:
		c.meant, c.how = true, "it was stopped (docker stop)"
	case events.ActionDestroy:
		if c.id == "" || c.id == m.Actor.ID { // else another one has taken its place
			c.meant, c.how = true, "its container was removed"
		}
	}
}

func ended(code string) string {
	if code == "" || code == "0" {
		return "it ended"
	}
	return "it ended with exit code " + code
}

// must finds the container that something is to be done with.
func (c *containerEngine) must(ctx context.Context) (*daemon, *container.InspectResponse, error) {
	found, err := c.find(ctx)
	if err != nil {
		return nil, nil, c.docker.problem(err)
	}
	if found == nil {
		return nil, nil, notInstalled()
	}
	api, err := c.docker.api()
	return api, found, err
}

// Start starts the stopped container. One that was removed is made again when its
// image is still there.
func (c *containerEngine) Start(ctx context.Context) error {
	api, found, err := c.must(ctx)
	var missing *Error
	if errors.As(err, &missing) && missing.Code == NotInstalled {
		c.mu.Lock()
		last := c.last
		c.mu.Unlock()
		if last.Container == "" || !c.hasImage(ctx) {
			return err
		}
		return c.Install(ctx, Install{Port: PortOf(last.URL)}, func(string) {})
	}
	if err != nil {
		return err
	}
	if found.State.Paused {
		err = api.ContainerUnpause(ctx, found.ID)
	} else {
		err = api.ContainerStart(ctx, found.ID, container.StartOptions{})
	}
	return c.starting(err, found)
}

func (c *containerEngine) hasImage(ctx context.Context) bool {
	api, err := c.docker.api()
	if err != nil {
		return false
	}
	images, err := api.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", runnerImage))})
	return err == nil && len(images) > 0
}

// starting words an error of a start.
func (c *containerEngine) starting(err error, found *container.InspectResponse) error {
	if err == nil {
		return nil
	}
	if portError.MatchString(err.Error()) {
		address, _ := published(found.HostConfig.PortBindings)
		return portTaken(PortOf(address), err)
	}
	return c.failed("Model Runner's container does not start", err)
}

func (c *containerEngine) failed(what string, err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	if noConnection(err) || errors.Is(err, context.DeadlineExceeded) {
		return c.docker.problem(err)
	}
	return &Error{Code: Failed, Why: what + ": " + strings.TrimPrefix(err.Error(), "Error response from daemon: "), Remedy: "see its log: switchyard runner logs", Err: err}
}

func (c *containerEngine) Stop(ctx context.Context) error {
	api, found, err := c.must(ctx)
	if err != nil {
		return err
	}
	if err := api.ContainerStop(ctx, found.ID, container.StopOptions{}); err != nil {
		return c.failed("Model Runner's container does not stop", err)
	}
	return nil
}

func (c *containerEngine) Restart(ctx context.Context) error {
	api, found, err := c.must(ctx)
	if err != nil {
		return err
	}
	return c.starting(api.ContainerRestart(ctx, found.ID, container.StopOptions{}), found)
}

func (c *containerEngine) Logs(ctx context.Context, to io.Writer, lines int, follow bool) error {
	api, found, err := c.must(ctx)
	if err != nil {
		return err
	}
	stream, err := api.ContainerLogs(ctx, found.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow, Tail: strconv.Itoa(lines)})
	if err != nil {
		return c.failed("Model Runner's log cannot be read", err)
	}
	defer stream.Close()
	if found.Config.Tty {
		_, err = io.Copy(to, stream)
	} else {
		_, err = stdcopy.StdCopy(to, to, stream)
	}
	if err != nil && ctx.Err() == nil {
		return c.failed("Model Runner's log was cut short", err)
	}
	return nil
}
