package engine

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
)

// runnerLabel marks Model Runner's container; its value does not matter.
const runnerLabel = "com.docker.desktop.service"

const (
	roleLabel  = "com.docker.model-runner.role"
	controller = "controller"
	// runnerImage is what install-runner makes the container of.
	runnerImage = "docker/model-runner"
	// tlsPort is where a container that serves TLS does so, besides plain HTTP.
	tlsPort = "12444"
)

// containerEngine is Model Runner's container in a Docker Engine.
type containerEngine struct {
	docker *Docker
	getenv func(string) string
	home   string

	mu     sync.Mutex
	id     string // of the container that was looked at last
	signal string // what is about to end it
	meant  bool   // the last end was wanted by somebody
	how    string // "it was killed" …, of the last end
	last   Seen   // when it was last there: a removed one comes back like that
}

func newContainer(d *Docker, getenv func(string) string, home string) *containerEngine {
	return &containerEngine{docker: d, getenv: getenv, home: home}
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
		return Seen{Problem: c.docker.problem(err), URL: cmp.Or(c.last.URL, fmt.Sprintf("http://127.0.0.1:%d", Port))}
	}
	c.docker.heard()
	if found == nil {
		return Seen{State: Absent, Controlled: true, Meant: c.meant, Why: c.how, URL: c.last.URL,
			Problem: &Error{Code: NotInstalled, Why: "Model Runner is not installed in Docker", Remedy: "install it: switchyard runner install"}}
	}
	seen := seenContainer(*found)
	if seen.State == Stopped || seen.State == Ending {
		seen.Meant = seen.Meant || c.meant
		seen.Why = cmp.Or(seen.Why, c.how)
	}
	c.id, c.last = found.ID, seen
	return seen
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

// published is where the container's plain HTTP port is reached from here, and an
// address among them that other machines reach; the Docker bridge's is none.
func published(bindings nat.PortMap) (address, exposed string) {
	address = fmt.Sprintf("http://127.0.0.1:%d", Port)
	chosen := false
	for _, port := range slices.SortedFunc(maps.Keys(bindings), func(a, b nat.Port) int { return cmp.Compare(a, b) }) {
		if port.Port() == tlsPort || port.Proto() != "tcp" {
			continue
		}
		for _, b := range bindings[port] {
			host := b.HostIP
			ip := net.ParseIP(host)
			if ip == nil || ip.IsUnspecified() {
				exposed = net.JoinHostPort(cmp.Or(host, "0.0.0.0"), b.HostPort)
				host = "127.0.0.1"
			}
			if b.HostPort == "" || b.HostPort == "0" || chosen && !loopback(host) {
				continue
			}
			address = "http://" + net.JoinHostPort(host, b.HostPort)
			chosen = true
			if loopback(host) {
				return address, exposed
			}
		}
	}
	return address, exposed
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
func (c *containerEngine) must(ctx context.Context) (*client.Client, *container.InspectResponse, error) {
	found, err := c.find(ctx)
	if err != nil {
		return nil, nil, c.docker.problem(err)
	}
	if found == nil {
		return nil, nil, &Error{Code: NotInstalled, Why: "Model Runner is not installed in Docker", Remedy: "install it: switchyard runner install"}
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

// PortOf is the port that an address names; 0 when it names none.
func PortOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(u.Port())
	return n
}

var portError = regexp.MustCompile(`(?i)port is already allocated|address already in use|ports are not available|only one usage of each socket address`)

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

func portTaken(port int, err error) *Error {
	return &Error{Code: PortTaken, Port: port, Why: fmt.Sprintf("port %d is taken", port),
		Remedy: fmt.Sprintf("end what holds it, or move Model Runner: switchyard runner install --port %d", port+1), Err: err}
}

func (c *containerEngine) failed(what string, err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	if client.IsErrConnectionFailed(err) || errors.Is(err, context.DeadlineExceeded) {
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
		return c.failed("Model Runner's log broke off", err)
	}
	return nil
}

// Install makes Model Runner's container with Docker's own command, or makes an
// existing one again with other options; all else stays as it was.
func (c *containerEngine) Install(ctx context.Context, how Install, progress func(string)) error {
	found, err := c.find(ctx)
	if err != nil {
		return c.docker.problem(err)
	}
	if found != nil {
		return c.remake(ctx, found, how, progress)
	}
	plugin, err := c.plugin()
	if err != nil {
		return err
	}
	port := cmp.Or(how.Port, Port)
	cmd := exec.CommandContext(ctx, plugin[0], append(plugin[1:], "install-runner", "--port", strconv.Itoa(port),
		"--host", cmp.Or(how.Host, "127.0.0.1"), "--gpu", cmp.Or(how.GPU, "auto"), "--do-not-track")...)
	// Without its address named, the command waits at the usual port.
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+c.docker.Host, fmt.Sprintf("MODEL_RUNNER_HOST=http://127.0.0.1:%d", port))
	said, err := told(cmd, progress)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &Error{Code: Failed, Why: "the installation was ended", Remedy: "run it again: switchyard runner install", Err: ctx.Err()}
	}
	if portError.MatchString(said) {
		c.discardFailed(ctx)
		return portTaken(port, err)
	}
	return &Error{Code: Failed, Why: "docker model install-runner: " + cmp.Or(said, err.Error()), Remedy: "run it by hand to see more", Err: err}
}

// discardFailed removes the container that an installation left which never ran.
func (c *containerEngine) discardFailed(ctx context.Context) {
	if api, found, err := c.must(ctx); err == nil && found.State.Status == container.StateCreated {
		_ = api.ContainerRemove(ctx, found.ID, container.RemoveOptions{})
	}
}

var complaint = regexp.MustCompile(`(?i)\b(error|unknown|unable|cannot|failed|denied|refused|is not)\b`)

// told runs a command, hands its lines on and returns the first that complains, or the last one.
func told(cmd *exec.Cmd, progress func(string)) (word string, err error) {
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		_ = in.Close()
	}()
	scan := bufio.NewScanner(out)
	scan.Split(linesAndReturns)
	for scan.Scan() {
		if line := strings.TrimSpace(scan.Text()); line != "" {
			if !complaint.MatchString(word) {
				word = line
			}
			progress(line)
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long
	return strings.TrimPrefix(word, "Error: "), <-ended
}

// linesAndReturns splits at line feeds and at the carriage returns of progress bars.
func linesAndReturns(data []byte, atEOF bool) (int, []byte, error) {
	if i := slices.IndexFunc(data, func(b byte) bool { return b == '\n' || b == '\r' }); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// plugin is Docker's model command.
func (c *containerEngine) plugin() ([]string, error) {
	name := "docker-model"
	config := cmp.Or(c.getenv("DOCKER_CONFIG"), filepath.Join(c.home, ".docker"))
	for _, dir := range []string{filepath.Join(config, "cli-plugins"), "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins", `C:\Program Files\Docker\cli-plugins`} {
		for _, file := range []string{filepath.Join(dir, name), filepath.Join(dir, name+".exe")} {
			if info, err := os.Stat(file); err == nil && !info.IsDir() {
				return []string{file}, nil
			}
		}
	}
	if file, err := exec.LookPath(name); err == nil {
		return []string{file}, nil
	}
	return nil, &Error{Code: NoPlugin, Why: "Docker's model command (the plugin docker-model) is missing",
		Remedy: "install it: sudo apt-get install docker-model-plugin (https://docs.docker.com/ai/model-runner/)"}
}

// remake puts a new container in the old one's place that differs only in what is
// asked for. When it does not start, the old one is back.
func (c *containerEngine) remake(ctx context.Context, old *container.InspectResponse, how Install, progress func(string)) error {
	api, err := c.docker.api()
	if err != nil {
		return err
	}
	if how.Pull {
		if err := pull(ctx, api, old.Config.Image, progress); err != nil {
			return c.failed("the image "+old.Config.Image+" cannot be pulled", err)
		}
	}
	config, host := *old.Config, *old.HostConfig
	config.Hostname = "" // the old one's id
	rebind(&host, how)
	progress("stopping the container of before")
	name := strings.TrimPrefix(old.Name, "/")
	if err := api.ContainerStop(ctx, old.ID, container.StopOptions{}); err != nil {
		return c.failed("Model Runner's container does not stop", err)
	}
	aside := name + "-before"
	if err := api.ContainerRename(ctx, old.ID, aside); err != nil {
		return c.failed("Model Runner's container cannot be set aside", err)
	}
	// From here on there is a way back, also when the caller has left.
	back := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = api.ContainerRename(ctx, old.ID, name)
		if old.State.Running {
			_ = api.ContainerStart(ctx, old.ID, container.StartOptions{})
		}
	}
	progress("starting the new container")
	first, others := networks(old)
	made, err := api.ContainerCreate(ctx, &config, &host, first, nil, name)
	if err != nil {
		back()
		return c.failed("the new container cannot be made", err)
	}
	for network, how := range others { // older Dockers take one at the creation
		if err == nil {
			err = api.NetworkConnect(ctx, network, made.ID, how)
		}
	}
	if err != nil {
		_ = api.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true})
		back()
		return c.failed("the new container cannot be connected to its networks", err)
	}
	if err := api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		_ = api.ContainerRemove(context.WithoutCancel(ctx), made.ID, container.RemoveOptions{Force: true})
		back()
		return c.starting(err, &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{HostConfig: &host}})
	}
	_ = api.ContainerRemove(context.WithoutCancel(ctx), old.ID, container.RemoveOptions{Force: true})
	return nil
}

// rebind changes where the container's port is published.
func rebind(host *container.HostConfig, how Install) {
	bindings := nat.PortMap{}
	for port, list := range host.PortBindings {
		if port.Port() == tlsPort {
			bindings[port] = list
			continue
		}
		list = slices.Clone(list)
		for i := range list {
			if how.Port > 0 {
				list[i].HostPort = strconv.Itoa(how.Port)
			}
			if ip := net.ParseIP(list[i].HostIP); how.Host != "" && (ip == nil || ip.IsLoopback() || ip.IsUnspecified()) {
				list[i].HostIP = how.Host
			}
		}
		if ip := net.ParseIP(how.Host); ip != nil && ip.IsUnspecified() { // it covers the others
			list = slices.DeleteFunc(list, func(b nat.PortBinding) bool { return b.HostIP != how.Host })
		}
		slices.SortFunc(list, func(a, b nat.PortBinding) int {
			return cmp.Or(cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.HostPort, b.HostPort))
		})
		bindings[port] = slices.Compact(list)
	}
	host.PortBindings = bindings
}

// networks are the old container's, without the addresses that Docker gave it: the
// first one, and those to connect it to afterwards.
func networks(old *container.InspectResponse) (first *network.NetworkingConfig, others map[string]*network.EndpointSettings) {
	first, others = &network.NetworkingConfig{}, map[string]*network.EndpointSettings{}
	main := old.HostConfig.NetworkMode.NetworkName()
	if old.NetworkSettings != nil {
		for name, e := range old.NetworkSettings.Networks {
			short := old.ID[:min(12, len(old.ID))]
			aliases := slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == short })
			endpoint := &network.EndpointSettings{Aliases: aliases, Links: e.Links, DriverOpts: e.DriverOpts, IPAMConfig: e.IPAMConfig}
			if name == main || len(old.NetworkSettings.Networks) == 1 {
				first.EndpointsConfig = map[string]*network.EndpointSettings{name: endpoint}
			} else {
				others[name] = endpoint
			}
		}
	}
	return first, others
}

func pull(ctx context.Context, api *client.Client, ref string, progress func(string)) error {
	stream, err := api.ImagePull(ctx, ref, image.PullOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	for dec := json.NewDecoder(stream); ; {
		var line struct{ Status, ID, Progress, Error string }
		switch err := dec.Decode(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case line.Error != "":
			return errors.New(line.Error)
		}
		progress(strings.Join(strings.Fields(line.ID+" "+line.Status+" "+line.Progress), " "))
	}
}

// PublishedBy names the container that publishes a port; empty when none does.
func PublishedBy(ctx context.Context, getenv func(string) string, home, system string, port int) string {
	docker, err := FindDocker(getenv, home, system)
	if err != nil || docker.ping(ctx) != nil {
		return ""
	}
	api, err := docker.api()
	if err != nil {
		return ""
	}
	all, err := api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("publish", strconv.Itoa(port)))})
	if err != nil || len(all) == 0 || len(all[0].Names) == 0 {
		return ""
	}
	return strings.TrimPrefix(all[0].Names[0], "/")
}
