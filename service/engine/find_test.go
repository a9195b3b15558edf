package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write writes a file and the folders above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func from(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestFindByName(t *testing.T) {
	const lan = `{"version":1,"current":"lan","contexts":{"lan":{"host":"http://192.168.1.5:12434"}}}`
	tests := []struct {
		name, host, configured, contexts string
		url                              string
		kind                             Kind
		exposed                          bool
		fails                            string
	}{
		{"nothing", "", "", "", "http://127.0.0.1:12434", None, false, ""},
		{"variable", "http://127.0.0.1:9", "http://a:1", lan, "http://127.0.0.1:9", Process, false, ""},
		{"variable without scheme", "gpu-box:12434", "", "", "http://gpu-box:12434", Remote, true, ""},
		{"variable with the API's path", "http://[::1]:9/anthropic/", "", "", "http://[::1]:9", Process, false, ""},
		{"variable with a socket", "unix:///run/x.sock", "", "", "http://localhost", Process, false, ""},
		{"variable wrong", "http://", "", "", "", "", false, "MODEL_RUNNER_HOST is not an address"},
		{"configuration", "", "https://a.example:1", lan, "https://a.example:1", Remote, false, ""},
		{"context", "", "", lan, "http://192.168.1.5:12434", Remote, true, ""},
		{"default context", "", "", `{"version":1,"current":"default"}`, "http://127.0.0.1:12434", None, false, ""},
		{"context that is gone", "", "", `{"current":"x","contexts":{}}`, "", "", false, `names a context "x"`},
		{"contexts broken", "", "", `{`, "", "", false, "is not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			if tt.contexts != "" {
				write(t, filepath.Join(home, ".docker", "model", "contexts.json"), tt.contexts)
			}
			env := from(map[string]string{"MODEL_RUNNER_HOST": tt.host})
			e, err := Find(t.Context(), Search{Getenv: env, Home: home, Configured: tt.configured})
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			seen := e.Look(t.Context())
			if e.Kind() != tt.kind || seen.URL != tt.url || (seen.Exposed != "") != tt.exposed {
				t.Errorf("%s %+v", e.Kind(), seen)
			}
		})
	}
}

func TestFindDockerAsTheDockerCommandDoes(t *testing.T) {
	meta := func(name, host string) (file, text string) {
		sum := sha256.Sum256([]byte(name))
		return filepath.Join(".docker/contexts/meta", hex.EncodeToString(sum[:]), "meta.json"),
			fmt.Sprintf(`{"Name":%q,"Metadata":{},"Endpoints":{"docker":{"Host":%q,"SkipTLSVerify":false}}}`, name, host)
	}
	colima, colimaMeta := meta("colima", "unix:///home/me/.colima/default/docker.sock")
	box, boxMeta := meta("box", "ssh://me@box")
	tests := []struct {
		name   string
		env    map[string]string
		files  map[string]string
		host   string
		remote bool
		fails  bool
	}{
		{"nothing", nil, nil, "", false, false},
		{"DOCKER_HOST wins", map[string]string{"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "colima"}, map[string]string{colima: colimaMeta}, "unix:///x.sock", false, false},
		{"the current context", nil, map[string]string{".docker/config.json": `{"currentContext":"colima"}`, colima: colimaMeta}, "unix:///home/me/.colima/default/docker.sock", false, false},
		{"a context by variable", map[string]string{"DOCKER_CONTEXT": "box"}, map[string]string{".docker/config.json": `{"currentContext":"colima"}`, box: boxMeta}, "ssh://me@box", true, false},
		{"a context that is gone", map[string]string{"DOCKER_CONTEXT": "gone"}, nil, "", false, true},
		{"the default one", nil, map[string]string{".docker/config.json": `{"currentContext":"default"}`, ".rd/docker.sock": ""}, "unix://HOME/.rd/docker.sock", false, false},
		{"a broken config.json", nil, map[string]string{".docker/config.json": `{`}, "", false, false},
		{"rootless before others", map[string]string{"XDG_RUNTIME_DIR": "HOME/run"}, map[string]string{"run/docker.sock": "", ".colima/default/docker.sock": ""}, "unix://HOME/run/docker.sock", false, false},
		{"the machine's before rootless", map[string]string{"XDG_RUNTIME_DIR": "HOME/run"}, map[string]string{"system.sock": "", "run/docker.sock": ""}, "unix://HOME/system.sock", false, false},
		{"Colima without a context", nil, map[string]string{".colima/default/docker.sock": ""}, "unix://HOME/.colima/default/docker.sock", false, false},
		{"OrbStack", nil, map[string]string{".orbstack/run/docker.sock": ""}, "unix://HOME/.orbstack/run/docker.sock", false, false},
		{"another machine", map[string]string{"DOCKER_HOST": "tcp://10.0.0.5:2375"}, nil, "tcp://10.0.0.5:2375", true, false},
		{"this machine over TCP", map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:2375"}, nil, "tcp://127.0.0.1:2375", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			for file, text := range tt.files {
				write(t, filepath.Join(home, file), text)
			}
			for name, value := range tt.env {
				tt.env[name] = strings.ReplaceAll(value, "HOME", home)
			}
			system := ""
			if _, has := tt.files["system.sock"]; has {
				system = filepath.Join(home, "system.sock")
			}
			d, err := FindDocker(from(tt.env), home, system)
			if (err != nil) != tt.fails {
				t.Fatal(err)
			}
			if err == nil && (d.Host != strings.ReplaceAll(tt.host, "HOME", home) || d.remote() != tt.remote) {
				t.Errorf("%q, remote %t", d.Host, d.remote())
			}
		})
	}
}

// dockerDouble is a Docker Engine as far as a search asks it: a double.
func dockerDouble(t *testing.T, container string) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dock") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.45")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
		case strings.HasSuffix(r.URL.Path, "/containers/json") && container == "":
			fmt.Fprint(w, "[]")
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			fmt.Fprint(w, `[{"Id":"c1","State":"running","Labels":{"com.docker.desktop.service":"model-runner","com.docker.model-runner.role":"controller"}},`+
				`{"Id":"other","Labels":{"com.docker.desktop.service":"extension"}}]`)
		case strings.HasSuffix(r.URL.Path, "/containers/c1/json"):
			fmt.Fprint(w, container)
		case strings.HasSuffix(r.URL.Path, "/info"):
			fmt.Fprint(w, `{"OperatingSystem":"Debian GNU/Linux 12"}`)
		default:
			http.NotFound(w, r)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "unix://" + socket
}

// inspected is a container as Docker describes it.
func inspected(state, config, host string) string {
	return fmt.Sprintf(`{"Id":"c1","Name":"/docker-model-runner","State":{%s},"Config":{%s},"HostConfig":{%s}}`, state, config, host)
}

func TestContainersAsDockerDescribesThem(t *testing.T) {
	const up = `"Running":true,"Status":"running","StartedAt":"2026-11-24T09:00:00Z"`
	const here = `"PortBindings":{"12434/tcp":[{"HostIp":"172.17.0.1","HostPort":"12999"},{"HostIp":"127.0.0.1","HostPort":"12999"}],"12444/tcp":[{"HostIp":"127.0.0.1","HostPort":"12444"}]}`
	tests := []struct {
		name, container string
		check           func(Seen) bool
	}{
		{"running, with the bridge's and the TLS port", inspected(up, "", here), func(s Seen) bool {
			return s.State == Running && s.URL == "http://127.0.0.1:12999" && s.Exposed == "" && s.Since.Hour() == 9 && s.Run != "" && !s.GPU
		}},
		{"open to all", inspected(up, "", `"PortBindings":{"12434/tcp":[{"HostIp":"0.0.0.0","HostPort":"12434"}]}`), func(s Seen) bool {
			return s.URL == "http://127.0.0.1:12434" && s.Exposed == "0.0.0.0:12434"
		}},
		{"open to all, as an empty address", inspected(up, "", `"PortBindings":{"12434/tcp":[{"HostIp":"","HostPort":"12434"}]}`), func(s Seen) bool {
			return s.Exposed == "0.0.0.0:12434"
		}},
		{"every origin", inspected(up, `"Env":["MODEL_RUNNER_PORT=12434","DMR_ORIGINS=*"]`, here), func(s Seen) bool { return s.OpenOrigins }},
		{"its own origins", inspected(up, `"Env":["DMR_ORIGINS=http://localhost:3000"]`, here), func(s Seen) bool { return !s.OpenOrigins }},
		{"with a GPU", inspected(up, "", here+`,"DeviceRequests":[{"Count":-1,"Capabilities":[["gpu"]]}]`), func(s Seen) bool { return s.GPU }},
		{"stopped", inspected(`"Status":"exited","ExitCode":137`, "", here), func(s Seen) bool {
			return s.State == Stopped && s.URL == "http://127.0.0.1:12999" && !s.Meant
		}},
		{"ended by itself", inspected(`"Status":"exited","ExitCode":2`, "", here), func(s Seen) bool { return s.Why == "it ended with exit code 2" }},
		{"killed by the kernel", inspected(`"Status":"exited","ExitCode":137,"OOMKilled":true`, "", here), func(s Seen) bool {
			return strings.Contains(s.Why, "ran out of memory")
		}},
		{"on its way back", inspected(`"Status":"restarting","Running":true,"Restarting":true,"ExitCode":1`, "", here), func(s Seen) bool { return s.State == Ending }},
		{"paused", inspected(`"Status":"paused","Running":true,"Paused":true`, "", here), func(s Seen) bool { return s.State == Stopped && s.Meant }},
		{"none", "", func(s Seen) bool { return s.State == Absent && s.Problem.Code == NotInstalled }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := from(map[string]string{"DOCKER_HOST": dockerDouble(t, tt.container)})
			e, err := Find(t.Context(), Search{Getenv: env, Home: t.TempDir(), Wanted: Container})
			if err != nil {
				t.Fatal(err)
			}
			if seen := e.Look(t.Context()); !tt.check(seen) {
				t.Errorf("%+v", seen)
			}
		})
	}
}

func TestDockersThatCannotBeAsked(t *testing.T) {
	dir, err := os.MkdirTemp("", "dock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	silent, err := net.Listen("unix", filepath.Join(dir, "silent")) // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stale := filepath.Join(dir, "stale")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	for host, code := range map[string]string{
		"unix://" + filepath.Join(dir, "silent"): DockerHangs,
		"unix://" + stale:                        DockerDown,
		"unix://" + filepath.Join(dir, "none"):   DockerDown,
		"ssh://me@box":                           DockerRemote,
	} {
		c := newContainer(&Docker{Host: host, nudge: make(chan struct{}, 1)}, Search{Getenv: from(nil), Home: dir})
		if seen := c.Look(t.Context()); seen.State != Unknown || seen.Problem == nil || seen.Problem.Code != code {
			t.Errorf("%s: %+v %v", host, seen, seen.Problem)
		}
	}
}

// The kind that is chosen when nothing names one.
func TestWhichKind(t *testing.T) {
	running := inspected(`"Running":true,"Status":"running"`, "", "")
	tests := []struct {
		name               string
		container          string
		docker, own, llama bool
		usual              bool // something answers at the usual port
		want               Kind
		met                bool
	}{
		{"a container", running, true, true, true, true, Container, false},
		{"Docker without one, and a program of our own", "", true, true, true, false, Process, false},
		{"Docker without one, and a program that lacks its engine", "", true, true, false, false, Container, false},
		{"Docker without one", "", true, false, false, false, Container, false},
		{"Docker without one, and a runner that is met", "", true, true, true, true, Process, true},
		{"a runner that is met", "", false, true, true, true, Process, true},
		{"a program of our own", "", false, true, true, false, Process, false},
		{"nothing", "", false, false, false, false, None, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			s := Search{Home: home, State: home, Runtime: home}
			env := map[string]string{}
			if tt.docker {
				env["DOCKER_HOST"] = dockerDouble(t, tt.container)
			}
			if tt.own {
				s.Program = filepath.Join(home, "model-runner")
				write(t, s.Program, "")
			}
			if tt.llama {
				s.LlamaServer = filepath.Join(home, "llama-server")
			}
			if tt.usual {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				s.Usual = listener.Addr().String()
			}
			s.Getenv = from(env)
			e, err := Find(t.Context(), s)
			if err != nil || e.Kind() != tt.want || (s.Usual != "" && e.Place() == "http://"+s.Usual) != tt.met {
				t.Errorf("%v %v", e, err)
			}
		})
	}
}
