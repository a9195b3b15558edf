//go:build e2e

package service

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
)

// dock is a scratch machine with a real Docker Engine, whose Model Runner is made by the real
// docker model command.
type dock struct {
	*testing.T
	*lab.Docker
	parts   *lab.Parts
	api     *client.Client
	machine *machine.Machine
	s       *served
	began   time.Duration // the runner's own start, from docker start to its first answer
}

const containerName = "docker-model-runner"

func newDock(t *testing.T) *dock {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &dock{T: t, parts: parts}
	if d.Docker, err = lab.StartDocker(t.Context(), parts, dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Docker.Stop)
	if d.api, err = d.Client(); err != nil {
		t.Fatal(err)
	}
	d.machine = machineAt(t, "")
	d.machine.Environ = []string{"DOCKER_HOST=" + d.Host, "DOCKER_CONFIG=" + d.Config, "PATH=" + os.Getenv("PATH")}
	return d
}

// freePorts finds ports that nothing listens on.
func (d *dock) freePort() int {
	d.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (d *dock) add(port int) {
	d.Helper()
	file := filepath.Join(d.machine.Home, "tiny.gguf")
	if err := gguf.WriteFile(file, gguf.Model{Name: "ai/tiny"}); err != nil {
		d.Fatal(err)
	}
	cmd := exec.Command(d.parts.DockerModel, "package", "--gguf", file, "ai/tiny")
	cmd.Env = []string{"HOME=" + d.machine.Home, fmt.Sprintf("MODEL_RUNNER_HOST=http://127.0.0.1:%d", port)}
	if out, err := cmd.CombinedOutput(); err != nil {
		d.Fatalf("%v\n%s", err, out)
	}
}

func (d *dock) inspect() container.InspectResponse {
	d.Helper()
	found, err := d.api.ContainerInspect(d.Context(), containerName)
	if err != nil {
		d.Fatal(err)
	}
	return found
}

func (d *dock) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// told does something to the runner, and measures how long it takes until the State shows it.
func (d *dock) told(what string, act func() error, ok func(state.Runner) bool) {
	d.Helper()
	begin := time.Now()
	d.must(act())
	acted := time.Now()
	d.s.until(what, func(s state.State) bool { return ok(s.Runner) })
	d.Logf("%-45s told %4d ms after the command began, %4d ms after it ended", what, time.Since(begin).Milliseconds(), time.Since(acted).Milliseconds())
	if time.Since(acted) > time.Second {
		d.Errorf("%s: told %s after the event", what, time.Since(acted))
	}
}

// back measures how long it takes until the runner answers again, and then a prompt.
func (d *dock) back(what string) {
	d.Helper()
	begin := time.Now()
	d.s.until(what, func(s state.State) bool { return s.Runner.State == state.Running })
	took := time.Since(begin)
	d.Logf("%-45s back after %4d ms", what, took.Milliseconds())
	if took > d.began+2*time.Second {
		d.Errorf("%s: back after %s; its own start takes %s", what, took, d.began)
	}
	if status, body := prompt(d.T, d.machine, "claude-opus-4-6"); status != 200 {
		d.Errorf("%s: a prompt got %d %s", what, status, body)
	}
}

func down(r state.Runner) bool { return r.State != state.Running }

func stopped(r state.Runner) bool { return r.State == state.Stopped && r.Doing == "" }

func absent(r state.Runner) bool { return r.State == state.Absent }

func TestOnARealDocker(t *testing.T) {
	d := newDock(t)
	ctx := t.Context()
	if look := status.Look(ctx, d.machine); look.Runner.State != state.Absent || look.Runner.Engine != engine.Container || !strings.Contains(look.Runner.Remedy, "switchyard runner install") {
		t.Fatalf("before the installation %+v", look.Runner)
	}
	if found := doctor.Examine(ctx, d.machine); len(found) == 0 || found[0].Code != engine.NotInstalled || found[0].Command != "switchyard runner install" {
		t.Errorf("the doctor says %+v", found)
	}
	port := d.freePort()
	var said []string
	begin := time.Now()
	d.must(localrunner.Install(ctx, d.machine, engine.Install{Port: port}, func(line string) { said = append(said, line) }))
	t.Logf("installed in %s: %s", time.Since(begin).Round(time.Millisecond), strings.Join(said, " / "))
	if bindings := d.inspect().HostConfig.PortBindings; len(bindings) != 1 || !strings.Contains(fmt.Sprint(bindings), "127.0.0.1") {
		t.Errorf("published at %v", bindings)
	}
	d.add(port)
	d.must(d.api.ContainerStop(ctx, containerName, container.StopOptions{}))
	d.must(d.api.ContainerStart(ctx, containerName, container.StartOptions{}))
	begin = time.Now()
	eventually(t, "the runner's own start", func() bool { r, _ := models.LookAtRunner(ctx, d.machine); return r.State == state.Running })
	d.began = time.Since(begin)
	t.Logf("its own start takes %s", d.began.Round(time.Millisecond))

	d.s = serve(t, d.machine)
	mustSwitch(t, otherProcess(t, d.machine), switching.Request{Route: claude.Local})
	d.s.until("the switch", func(s state.State) bool { return s.GatewayInUse() && s.Runner.State == state.Running })
	d.back("at first")

	t.Run("kill", func(t *testing.T) {
		d.T = t
		for range 2 {
			d.told("docker kill", func() error { return d.api.ContainerKill(ctx, containerName, "KILL") }, down)
			d.back("docker kill")
		}
	})
	t.Run("a crash after which Docker restarts it", func(t *testing.T) {
		d.T = t
		before := d.s.State().Runner.Since
		crash := func() error {
			err := syscall.Kill(d.inspect().State.Pid, syscall.SIGKILL)
			if errors.Is(err, syscall.ESRCH) {
				return nil // just killed; Docker does not know yet
			}
			return err
		}
		d.told("kill -9 of the server", crash, func(r state.Runner) bool { return down(r) || r.Since.After(before) })
		d.back("kill -9 of the server")
		// It keeps ending, until Switchyard gives up.
		for range 5 {
			if d.s.State().Runner.State == state.RunnerFailed {
				break
			}
			d.must(crash())
			d.s.until("the next run, or the end", func(s state.State) bool {
				return s.Runner.Since.After(before) && s.Runner.State == state.Running || s.Runner.State == state.RunnerFailed
			})
			before = d.s.State().Runner.Since
		}
		state := d.s.until("the end of the loop", func(s state.State) bool { return s.Runner.State == state.RunnerFailed })
		if !strings.Contains(state.Runner.Reason, "times in ten minutes") {
			t.Errorf("it says %q", state.Runner.Reason)
		}
		if d.inspect().State.Running {
			t.Error("Docker goes on starting it")
		}
		d.must(d.s.ControlRunner(ctx, localrunner.Start))
		d.back("switchyard runner start")
	})
	t.Run("restart", func(t *testing.T) {
		d.T = t
		d.must(d.api.ContainerRestart(ctx, containerName, container.StopOptions{}))
		d.s.until("the new run", func(s state.State) bool {
			return s.Runner.State == state.Running && s.Runner.Since.After(begin.Add(time.Second))
		})
		d.must(d.s.ControlRunner(ctx, localrunner.Restart))
		d.back("switchyard runner restart")
	})
	t.Run("stopped outside Switchyard", func(t *testing.T) {
		d.T = t
		d.told("docker stop", func() error { return d.api.ContainerStop(ctx, containerName, container.StopOptions{}) }, stopped)
		d.back2("a prompt after docker stop")
	})
	t.Run("stopped in Switchyard", func(t *testing.T) {
		d.T = t
		d.told("switchyard runner stop", func() error { return control.ControlRunner(ctx, otherProcess(t, d.machine), localrunner.Stop) }, func(r state.Runner) bool { return stopped(r) && r.ByPerson })
		if status, body := prompt(t, d.machine, "opus"); status != 503 || !strings.Contains(body, "you stopped it") {
			t.Errorf("a prompt got %d %s", status, body)
		}
		d.must(control.ControlRunner(ctx, otherProcess(t, d.machine), localrunner.Start))
		d.back("switchyard runner start")
	})
	t.Run("removed", func(t *testing.T) {
		d.T = t
		d.told("docker model stop-runner", func() error { _, err := d.Model(ctx, "stop-runner"); return err }, absent)
		d.back2("a prompt after docker model stop-runner")
		d.told("docker rm -f", func() error {
			return d.api.ContainerRemove(ctx, containerName, container.RemoveOptions{Force: true})
		}, absent)
		d.must(d.s.ControlRunner(ctx, localrunner.Start))
		d.back("switchyard runner start")
		if got := d.inspect().HostConfig.PortBindings; !strings.Contains(fmt.Sprint(got), fmt.Sprint(port)) {
			t.Errorf("it came back at %v, was at %d", got, port)
		}
	})
	t.Run("the daemon", func(t *testing.T) {
		d.T = t
		d.told("kill -9 of dockerd", func() error { d.Kill(); return nil }, func(r state.Runner) bool { return down(r) && strings.Contains(r.Reason, "Docker is not running") })
		d.must(d.Docker.Start(ctx))
		d.back("dockerd is back")
	})
	t.Run("moved", func(t *testing.T) {
		d.T = t
		name := "switchyard-test"
		_, err := d.api.NetworkCreate(ctx, name, network.CreateOptions{})
		d.must(err)
		d.must(d.api.NetworkConnect(ctx, name, containerName, nil))
		before := d.inspect()
		second := d.freePort()
		d.must(localrunner.Install(ctx, otherProcess(t, d.machine), engine.Install{Port: second}, func(string) {}))
		d.s.until("the new address", func(s state.State) bool {
			return strings.HasSuffix(s.Runner.URL, fmt.Sprint(second)) && s.Runner.State == state.Running
		})
		d.back("switchyard runner install --port")
		after := d.inspect()
		slices.Sort(before.Config.Env)
		slices.Sort(after.Config.Env)
		if after.HostConfig.RestartPolicy != before.HostConfig.RestartPolicy || !slices.Equal(after.Config.Env, before.Config.Env) || after.NetworkSettings.Networks[name] == nil ||
			len(after.Mounts) != len(before.Mounts) || after.Config.Labels["com.docker.model-runner.role"] != "controller" {
			t.Errorf("other things changed: %+v\n%+v", before.HostConfig, after.HostConfig)
		}
		d.s.until("the address for when the gateway ends", func(s state.State) bool {
			return len(s.Targets) > 0 && strings.Contains(s.Targets[0].Direct, fmt.Sprint(second))
		})
		port = second
	})
	t.Run("open to the network", func(t *testing.T) {
		d.T = t
		d.must(localrunner.Install(ctx, otherProcess(t, d.machine), engine.Install{Host: "0.0.0.0"}, func(string) {}))
		warned := func(s state.State) bool {
			return slices.ContainsFunc(s.Warnings, func(w state.Warning) bool { return w.Code == "runner_exposed" })
		}
		d.s.until("the warning", warned)
		d.must(localrunner.Install(ctx, otherProcess(t, d.machine), engine.Install{Host: "127.0.0.1"}, func(string) {}))
		d.s.until("no warning", func(s state.State) bool { return !warned(s) && s.Runner.State == state.Running })
		d.back("closed again")
	})
	t.Run("a taken port", func(t *testing.T) {
		d.T = t
		d.must(d.s.ControlRunner(ctx, localrunner.Stop))
		taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		d.must(err)
		defer taken.Close()
		var failed *fault.Error
		err = d.s.ControlRunner(ctx, localrunner.Start)
		if !errors.As(err, &failed) || failed.Kind != fault.Refused || !strings.Contains(failed.Why, fmt.Sprintf("port %d is taken by service.test (pid %d)", port, os.Getpid())) ||
			!strings.Contains(failed.Remedy, "switchyard runner install --port ") {
			t.Errorf("got %v", err)
		}
		found := doctor.Examine(ctx, d.machine)
		i := slices.IndexFunc(found, func(f state.Finding) bool { return f.Code == engine.PortTaken })
		if i < 0 || !found[i].Fixable {
			t.Fatalf("the doctor says %+v", found)
		}
		d.must(found[i].Fix(ctx))
		d.back("moved by the doctor")
		if state := d.s.State(); strings.HasSuffix(state.Runner.URL, fmt.Sprint(port)) {
			t.Errorf("it is still at %s", state.Runner.URL)
		}
	})
	t.Run("a pull by someone else", func(t *testing.T) {
		d.T = t
		// There is no such registry: this shows only that the container's log announces the pull.
		go func() {
			_, _ = http.Post(d.s.State().Runner.URL+"/models/create", "application/json", strings.NewReader(`{"from":"localhost:1/ai/theirs"}`))
		}()
		d.s.until("the pull", func(s state.State) bool {
			return len(s.Pulls) == 1 && s.Pulls[0].Others && s.Pulls[0].Ref == "localhost:1/ai/theirs"
		})
	})
	t.Run("the log", func(t *testing.T) {
		var log strings.Builder
		if err := localrunner.Logs(ctx, d.machine, &log, 5, false); err != nil || strings.Count(log.String(), "\n") < 3 {
			t.Errorf("%v %q", err, log.String())
		}
	})
}

// back2 sends the prompt first: a request brings the runner back.
func (d *dock) back2(what string) {
	d.Helper()
	begin := time.Now()
	if status, body := prompt(d.T, d.machine, "claude-opus-4-6"); status != 200 {
		d.Errorf("%s: %d %s", what, status, body)
	}
	d.Logf("%-45s answered after %4d ms", what, time.Since(begin).Milliseconds())
	d.s.until("the runner", func(s state.State) bool { return s.Runner.State == state.Running })
}
