package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/fsnotify/fsnotify"

	"github.com/switchyard-app/switchyard/service/wake"
)

// Docker is a Docker daemon, found as the docker command finds it.
type Docker struct {
	Host    string // unix:///…, npipe:////./pipe/…, tcp://…; empty: there is none
	Context string // the Docker context that named it; empty: none did

	certs  string        // folder with ca.pem, cert.pem, key.pem; empty: no TLS
	nudge  chan struct{} // a look got through again
	mu     sync.Mutex
	client *daemon // made when it is first used
}

// FindDocker resolves DOCKER_HOST, DOCKER_CONTEXT and the current context as the
// docker command does, and else takes the first socket that is there of Docker,
// rootless Docker, Docker Desktop, Colima, OrbStack and Rancher Desktop; system
// is the first of them, the whole machine's, or empty for none. The error is about a
// context that cannot be read.
func FindDocker(getenv func(string) string, home, system string) (*Docker, error) {
	d := &Docker{nudge: make(chan struct{}, 1)}
	config := getenv("DOCKER_CONFIG")
	if config == "" {
		config = filepath.Join(home, ".docker")
	}
	d.Context = getenv("DOCKER_CONTEXT")
	switch {
	case getenv("DOCKER_HOST") != "":
		d.Host, d.Context = getenv("DOCKER_HOST"), ""
		if getenv("DOCKER_TLS_VERIFY") != "" || getenv("DOCKER_TLS") != "" {
			if d.certs = getenv("DOCKER_CERT_PATH"); d.certs == "" {
				d.certs = config
			}
		}
		return d, nil
	case d.Context == "":
		d.Context = currentContext(config)
	}
	if d.Context == "default" {
		d.Context = ""
	}
	if d.Context != "" {
		return d, d.readContext(config)
	}
	d.Host = usualHost(system, getenv("XDG_RUNTIME_DIR"), home)
	return d, nil
}

func currentContext(config string) string {
	data, err := os.ReadFile(filepath.Join(config, "config.json"))
	if err != nil {
		return ""
	}
	var file struct{ CurrentContext string }
	if json.Unmarshal(data, &file) != nil {
		return "" // the docker command complains of it
	}
	return file.CurrentContext
}

// readContext reads a context as the docker command stores it, in a folder named by the hash of its name.
func (d *Docker) readContext(config string) error {
	sum := sha256.Sum256([]byte(d.Context))
	id := hex.EncodeToString(sum[:])
	file := filepath.Join(config, "contexts", "meta", id, "meta.json")
	data, err := os.ReadFile(file)
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	if err == nil {
		err = json.Unmarshal(data, &meta)
	}
	if d.Host = meta.Endpoints["docker"].Host; err != nil || d.Host == "" {
		return &Error{Code: NoDocker, Why: fmt.Sprintf("the Docker context %q cannot be read (%s)", d.Context, file),
			Remedy: "choose another one: docker context use default", Err: err}
	}
	if certs := filepath.Join(config, "contexts", "tls", id, "docker"); exists(certs) {
		d.certs = certs
	}
	return nil
}

// usualHost is where the daemon listens when nothing says so.
func usualHost(system, runtimeDir, home string) string {
	if system != "" && runtime.GOOS == "windows" {
		return defaultHost
	}
	var sockets []string
	if system != "" {
		sockets = append(sockets, system)
	}
	if runtimeDir != "" {
		sockets = append(sockets, filepath.Join(runtimeDir, "docker.sock")) // rootless
	}
	for _, socket := range append(sockets,
		filepath.Join(home, ".docker", "run", "docker.sock"),
		filepath.Join(home, ".docker", "desktop", "docker.sock"),
		filepath.Join(home, ".orbstack", "run", "docker.sock"),
		filepath.Join(home, ".colima", "default", "docker.sock"),
		filepath.Join(home, ".rd", "docker.sock"),
	) {
		if exists(socket) {
			return "unix://" + socket
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// remote reports whether the daemon is on another machine, whose loopback addresses are not ours.
func (d *Docker) remote() bool {
	u, err := url.Parse(d.Host)
	if err != nil {
		return false
	}
	return u.Scheme == "ssh" || (u.Scheme == "tcp" || u.Scheme == "http" || u.Scheme == "https") && !Loopback(u.Hostname())
}

// Loopback reports whether a host is this very machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// desktop reports whether it is Docker Desktop's, by its name or place.
func (d *Docker) desktop() bool {
	return d.Context == "desktop-linux" || d.Context == "desktop-windows" ||
		strings.Contains(d.Host, "/.docker/run/") || strings.Contains(d.Host, "/.docker/desktop/") || strings.Contains(d.Host, "dockerDesktop")
}

// socket is the path of the daemon's unix socket; empty for other transports.
func (d *Docker) socket() string {
	path, ok := strings.CutPrefix(d.Host, "unix://")
	if !ok {
		return ""
	}
	return path
}

// ping tells why the daemon cannot be asked; nil when it can.
func (d *Docker) ping(ctx context.Context) error {
	if d.Host == "" {
		return &Error{Code: NoDocker, Why: "no Docker was found", Remedy: "install Docker (https://docs.docker.com/engine/install/), or llama.cpp's llama-server for Switchyard's own Model Runner"}
	}
	if d.remote() {
		return &Error{Code: DockerRemote, Why: "Docker is on another machine (" + d.Host + ")", Remedy: "name the Model Runner there: MODEL_RUNNER_HOST=http://host:12434, or runner in config.toml"}
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if path := d.socket(); path != "" { // the client's own errors hide the reason
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return d.problem(err)
		}
		_ = conn.Close()
	}
	api, err := d.api()
	if err != nil {
		return err
	}
	if _, err := api.Ping(ctx); err != nil {
		return d.problem(err)
	}
	return nil
}

// problem words an error of the daemon's connection.
func (d *Docker) problem(err error) *Error {
	var ours *Error
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied"):
		return &Error{Code: DockerDenied, Why: "you have no permission to use Docker's socket " + strings.TrimPrefix(d.Host, "unix://"),
			Remedy: "join the docker group and log in again: sudo usermod -aG docker $USER", Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Code: DockerHangs, Why: "Docker does not answer at " + d.Host, Remedy: "restart it: " + d.restartCommand(), Err: err}
	case d.desktop():
		return &Error{Code: DesktopDown, Why: "Docker Desktop is not running", Remedy: "start it: docker desktop start", Err: err}
	}
	return &Error{Code: DockerDown, Why: "Docker is not running (nothing answers at " + d.Host + ")", Remedy: "start it: " + d.startCommand(), Err: err}
}

func (d *Docker) startCommand() string { return d.command("start") }

func (d *Docker) restartCommand() string { return d.command("restart") }

func (d *Docker) command(verb string) string {
	switch {
	case d.desktop() || runtime.GOOS != "linux":
		return "docker desktop " + verb
	case strings.Contains(d.Host, "/run/user/"):
		return "systemctl --user " + verb + " docker"
	}
	return "sudo systemctl " + verb + " docker"
}

// watch follows the daemon's events that match until the context ends: each is
// handed over, and changed is called for it and whenever the daemon goes or comes.
// A daemon that is gone is not asked again and again: its socket's file tells that
// it is back, or a look that gets through.
func (d *Docker) watch(ctx context.Context, match filters.Args, each func(events.Message), changed func()) {
	var watching sync.WaitGroup
	defer watching.Wait()
	var appeared <-chan struct{} // nil where there is no such file
	if path := d.socket(); path != "" {
		appeared = wake.OnFile(ctx, &watching, path, fsnotify.Create)
	}
	for ctx.Err() == nil {
		if d.ping(ctx) == nil {
			d.follow(ctx, match, each, changed)
			changed()
		}
		if ctx.Err() != nil || !d.awaitReturn(ctx, appeared) {
			return
		}
	}
}

// follow reads one stream of events to its end.
func (d *Docker) follow(ctx context.Context, match filters.Args, each func(events.Message), changed func()) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// What happens between the look before and the stream's beginning is told again.
	since := time.Now().Add(-2 * time.Second)
	api, err := d.api()
	if err != nil {
		return
	}
	messages, errs := api.Events(ctx, events.ListOptions{Filters: match, Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())})
	changed()
	for {
		select {
		case m := <-messages:
			each(m)
			changed()
		case <-errs:
			return
		}
	}
}

const (
	// comeback is how long a daemon may take from its socket's appearance to its first answer.
	comeback   = 30 * time.Second
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// awaitReturn waits until the daemon may be back; false when the context ended.
func (d *Docker) awaitReturn(ctx context.Context, appeared <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-d.nudge:
		return true
	case <-appeared:
	}
	// The socket is there before the daemon answers.
	limit := time.After(comeback)
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		if d.ping(ctx) == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-limit:
			return true
		case <-time.After(pause):
		}
	}
}

// heard tells the watch that the daemon answers.
func (d *Docker) heard() { wake.Notify(d.nudge) }
