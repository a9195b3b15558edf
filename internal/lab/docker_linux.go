package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Docker is a real Docker Engine of its own, with an image of Model Runner that is
// made of the lab's parts.
type Docker struct {
	Host   string // unix://…
	Config string // a DOCKER_CONFIG with the real docker model command as a plugin
	Log    string

	dir  string
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// ErrNoDocker says that a Docker Engine cannot be started here.
var ErrNoDocker = errors.New("a private Docker Engine needs root and dockerd (Debian's docker.io)")

// StartDocker starts a Docker Engine in dir, whose path must be short, and gives it
// the image. The error wraps ErrNoDocker where that cannot be.
func StartDocker(ctx context.Context, parts *Parts, dir string) (*Docker, error) {
	if _, err := exec.LookPath("dockerd"); err != nil || os.Getuid() != 0 {
		return nil, ErrNoDocker
	}
	d := &Docker{Host: "unix://" + filepath.Join(dir, "docker.sock"), Config: filepath.Join(dir, "config"), Log: filepath.Join(dir, "dockerd.log"), dir: dir}
	plugins := filepath.Join(d.Config, "cli-plugins")
	if err := errors.Join(os.MkdirAll(plugins, 0o755), os.Symlink(parts.DockerModel, filepath.Join(plugins, "docker-model"))); err != nil {
		return nil, err
	}
	if err := d.Start(ctx); err != nil {
		return nil, err
	}
	if err := d.image(ctx, parts); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

// Client is a client of the engine's API.
func (d *Docker) Client() (*client.Client, error) {
	return client.NewClientWithOpts(client.WithHost(d.Host), client.WithAPIVersionNegotiation())
}

// Start starts the daemon, again after it was killed, and waits until it answers.
func (d *Docker) Start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	pidFile := filepath.Join(d.dir, "pid")
	// A killed one leaves them; the number of its dead containerd may count as alive.
	_ = os.Remove(pidFile)
	_ = os.Remove(filepath.Join(d.dir, "exec", "containerd", "containerd.pid"))
	cmd := exec.Command("dockerd", "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"), "-H", d.Host, "--pidfile", pidFile)
	cmd.Stdout, cmd.Stderr = log, log
	ownGroup(cmd)
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	d.cmd, d.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	api, err := d.Client()
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	for {
		if _, err := api.Ping(ctx); err == nil {
			return nil
		}
		select {
		case <-done:
			text, _ := os.ReadFile(d.Log)
			return fmt.Errorf("%w: it ended\n%s", ErrNoDocker, text[max(0, len(text)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("%w: it does not answer, see %s", ErrNoDocker, d.Log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the daemon as a crash does: at once, without its containers.
func (d *Docker) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		_ = d.cmd.Process.Kill()
		<-d.done
		d.cmd = nil
	}
}

// Stop ends the daemon and what it runs.
func (d *Docker) Stop() {
	d.mu.Lock()
	killed := d.cmd == nil
	d.mu.Unlock()
	if killed { // only a daemon can end the containers
		_ = d.Start(context.Background())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		endGroup(d.cmd)
		select {
		case <-d.done:
		case <-time.After(20 * time.Second):
		}
		killGroup(d.cmd)
		<-d.done
		d.cmd = nil
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.SplitSeq(string(mounts), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], d.dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

// Model runs the real docker model command and returns what it says.
func (d *Docker) Model(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.Config, "cli-plugins", "docker-model"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir, "DOCKER_HOST=" + d.Host, "DOCKER_CONFIG=" + d.Config}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// image makes docker/model-runner:latest of the server and the engine.
func (d *Docker) image(ctx context.Context, parts *Parts) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"app/", "models/", "tmp/", "run/", "home/", "home/modelrunner/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Mode: 0o777, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	for name, file := range map[string]string{"app/model-runner": parts.ModelRunner, "app/llama-server": filepath.Join(parts.EngineDir, "llama-server")} {
		data, err := os.ReadFile(file)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))})
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	api, err := d.Client()
	if err != nil {
		return err
	}
	defer api.Close()
	said, err := api.ImageImport(ctx, image.ImportSource{Source: &layer, SourceName: "-"}, "docker/model-runner:latest", image.ImportOptions{Changes: []string{
		"WORKDIR /app", "ENV MODEL_RUNNER_SOCK=/run/model-runner.sock", "ENV MODELS_PATH=/models", "ENV LLAMA_SERVER_PATH=/app",
		"ENV HOME=/home/modelrunner", `ENTRYPOINT ["/app/model-runner"]`,
	}})
	if err != nil {
		return err
	}
	defer said.Close()
	text, err := io.ReadAll(said)
	if err == nil && strings.Contains(string(text), `"error"`) {
		err = errors.New(string(text))
	}
	return err
}
