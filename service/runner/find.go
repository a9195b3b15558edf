package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

// DefaultPort is Model Runner's usual TCP port.
const DefaultPort = 12434

// tlsPort is where a container that serves TLS does so, besides plain HTTP.
const tlsPort = 12444

// desktopPrefix is where Docker Desktop serves Model Runner on its own socket.
const desktopPrefix = "/exp/vDD4.40"

// runnerLabel marks Model Runner's container; its value does not matter.
const runnerLabel = "com.docker.desktop.service=model-runner"

// Search says where to look for a runner.
type Search struct {
	Getenv     func(string) string
	Home       string
	Configured string // a URL from Switchyard's own configuration; empty: none
}

// Found is a runner that was found, running or not.
type Found struct {
	Endpoint
	Stopped    bool   // its container is there but does not run
	Container  string // the container's id; empty for other engines
	DockerHost string // where its Docker daemon listens
}

// Find names this machine's runner, in the order of Docker's own command line:
// MODEL_RUNNER_HOST, Switchyard's configuration, the current Model Runner
// context, Docker Desktop, the container of Docker Engine, 127.0.0.1:12434. It
// proves nothing: whether the runner answers is for a Client to find out. The
// error is about a setting that cannot be read.
func Find(ctx context.Context, s Search) (Found, error) {
	if host := s.Getenv("MODEL_RUNNER_HOST"); host != "" {
		return named(host, "MODEL_RUNNER_HOST")
	}
	if s.Configured != "" {
		return named(s.Configured, `"runner" in config.toml`)
	}
	if host, err := s.context(); err != nil || host != "" {
		if err != nil {
			return Found{}, err
		}
		return named(host, s.contextsFile())
	}
	if found, ok := s.docker(ctx); ok {
		return found, nil
	}
	return Found{Endpoint: Endpoint{URL: fmt.Sprintf("http://127.0.0.1:%d", DefaultPort), Engine: Process, Source: "the usual port"}}, nil
}

// named is an endpoint that a person wrote down.
func named(host, source string) (Found, error) {
	text := host
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.Scheme == "unix" && u.Path != "":
		return Found{Endpoint: Endpoint{URL: "http://localhost", Socket: u.Path, Engine: Process, Source: source}}, nil
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return Found{}, fmt.Errorf("%s is not an address such as http://127.0.0.1:%d", source, DefaultPort)
	}
	engine := Remote
	if Loopback(u.Hostname()) {
		engine = Process
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/anthropic")
	u.RawQuery, u.Fragment = "", ""
	return Found{Endpoint: Endpoint{URL: u.String(), Engine: engine, Source: source}}, nil
}

// Loopback tells whether a host name is this machine's own.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
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
	if err := json.Unmarshal(data, &file); err != nil {
		return "", fmt.Errorf("%s is not JSON: correct it, or choose a context again (docker model context use default)", s.contextsFile())
	}
	if file.Current == "" || file.Current == "default" {
		return "", nil
	}
	entry, ok := file.Contexts[file.Current]
	if !ok {
		return "", fmt.Errorf("%s names a context %q that it does not hold: choose another one (docker model context use default)", s.contextsFile(), file.Current)
	}
	return entry.Host, nil
}

// docker asks Docker, if there is one, in at most a second.
func (s Search) docker(ctx context.Context) (Found, bool) {
	host := s.dockerHost()
	if host == "" {
		return Found{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		return Found{}, false
	}
	defer docker.Close()
	containers, err := docker.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", runnerLabel))})
	if err != nil {
		return Found{}, false
	}
	for _, c := range containers {
		if c.Labels["com.docker.model-runner.role"] == "controller" || len(containers) == 1 {
			found := ofContainer(c)
			found.DockerHost = host
			return found, true
		}
	}
	info, err := docker.Info(ctx)
	if err != nil || info.OperatingSystem != "Docker Desktop" || runtime.GOOS == "linux" && !underWSL() {
		return Found{}, false
	}
	tcp := Endpoint{URL: fmt.Sprintf("http://127.0.0.1:%d", DefaultPort), Engine: Desktop, Source: "Docker Desktop"}
	if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", DefaultPort)); err == nil {
		_ = conn.Close()
		return Found{Endpoint: tcp}, true
	}
	if socket, ok := strings.CutPrefix(host, "unix://"); ok {
		return Found{Endpoint: Endpoint{URL: "http://localhost" + desktopPrefix, Socket: socket, Engine: Desktop, Source: "Docker Desktop"}}, true
	}
	return Found{Endpoint: tcp}, true
}

// dockerHost is where the Docker daemon listens; empty when there is none.
func (s Search) dockerHost() string {
	if host := s.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	if runtime.GOOS == "windows" {
		return client.DefaultDockerHost
	}
	for _, socket := range []string{
		"/var/run/docker.sock",
		filepath.Join(s.Home, ".docker", "run", "docker.sock"),
		filepath.Join(s.Home, ".docker", "desktop", "docker.sock"),
	} {
		if _, err := os.Stat(socket); err == nil {
			return "unix://" + socket
		}
	}
	return ""
}

func ofContainer(c container.Summary) Found {
	found := Found{
		Endpoint: Endpoint{URL: fmt.Sprintf("http://127.0.0.1:%d", DefaultPort), Engine: Container, Source: "Docker Engine"},
		Stopped:  c.State != container.StateRunning, Container: c.ID,
	}
	for _, p := range c.Ports {
		if p.PublicPort == 0 || p.Type != "tcp" || p.PrivatePort == tlsPort {
			continue
		}
		host := p.IP
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		found.URL = "http://" + net.JoinHostPort(host, fmt.Sprint(p.PublicPort))
		if Loopback(host) {
			break
		}
	}
	return found
}

func underWSL() bool {
	version, err := os.ReadFile("/proc/version")
	return err == nil && strings.Contains(strings.ToLower(string(version)), "microsoft")
}
