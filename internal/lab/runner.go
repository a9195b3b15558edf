package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// Runner is a real Model Runner with its own store.
type Runner struct {
	URL string // http://127.0.0.1:PORT
	Log string // the file with its output

	parts *Parts
	dir   string
	port  string
	mu    sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{}
}

// StartRunner starts a Model Runner in dir on a free loopback port and waits until it answers.
func StartRunner(ctx context.Context, parts *Parts, dir string) (*Runner, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return StartRunnerAt(ctx, parts, dir, port)
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// StartRunnerAt is StartRunner with a port of the caller's.
func StartRunnerAt(ctx context.Context, parts *Parts, dir, port string) (*Runner, error) {
	r := &Runner{URL: "http://127.0.0.1:" + port, Log: filepath.Join(dir, "model-runner.log"), parts: parts, dir: dir, port: port}
	return r, r.Start(ctx)
}

// Start starts a stopped runner again, at the same address, with the same models.
func (r *Runner) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(r.parts.ModelRunner)
	cmd.Dir = r.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + r.dir,
		"MODEL_RUNNER_PORT=" + r.port, "MODELS_PATH=" + filepath.Join(r.dir, "models"),
		"LLAMA_SERVER_PATH=" + r.parts.EngineDir, "MODEL_RUNNER_LOG_DIR=" + r.dir,
		"DISABLE_SERVER_UPDATE=1", "DO_NOT_TRACK=1",
	}
	ownGroup(cmd) // its engines end with it
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd, r.done = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(r.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := answers(ctx, r.URL+"/models"); err != nil {
		return errors.Join(err, fmt.Errorf("the runner does not answer, see %s", r.Log))
	}
	return nil
}

// Stop ends the runner and its engines.
func (r *Runner) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	endGroup(r.cmd)
	select {
	case <-r.done:
	case <-time.After(5 * time.Second):
	}
	killGroup(r.cmd)
	<-r.done
	r.cmd = nil
}

// Add packages a tiny model under a name such as ai/tiny:latest, with the real docker model command.
func (r *Runner) Add(ctx context.Context, name string, m gguf.Model) error {
	if m.Name == "" {
		m.Name = name
	}
	file := filepath.Join(r.dir, strings.NewReplacer("/", "-", ":", "-").Replace(name)+".gguf")
	if err := gguf.WriteFile(file, m); err != nil {
		return err
	}
	args := []string{"package", "--gguf", file}
	if m.Sees {
		eye := file + ".mmproj"
		if err := gguf.WriteProjector(eye); err != nil {
			return err
		}
		args = append(args, "--mmproj", eye)
	}
	cmd := exec.CommandContext(ctx, r.parts.DockerModel, append(args, name)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "MODEL_RUNNER_HOST=" + r.URL, "MODEL_RUNNER_NO_AUTO_INSTALL=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker model package: %w\n%s", err, out)
	}
	return nil
}

// Registry serves models for pulling until it is stopped, at an address localhost:PORT.
func Registry(parts *Parts, dir string, models map[string]gguf.Model) (address string, stop func(), err error) {
	var args []string
	for name, m := range models {
		file := filepath.Join(dir, fmt.Sprintf("registry-%d.gguf", len(args)))
		if m.Name == "" {
			m.Name = name
		}
		if err := gguf.WriteFile(file, m); err != nil {
			return "", nil, err
		}
		args = append(args, name+"="+file)
	}
	cmd := exec.Command(parts.Registry, args...)
	stdin, err := cmd.StdinPipe() // it ends with its input, so the input stays open
	if err != nil {
		return "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	var problems strings.Builder
	cmd.Stderr = &problems
	end, err := start(cmd)
	if err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = stdin.Close()
		end()
	}
	address, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the registry did not start: %w\n%s", err, &problems)
	}
	return strings.TrimSpace(address), stop, nil
}

// answers waits until a URL answers with 200.
func answers(ctx context.Context, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
