// Command crowd runs a command on a machine that is in use: a Model Runner at the
// usual port, a running Switchyard, a Claude Code, a Docker that hangs, and an
// environment with everything set. A test that sees any of it is not isolated.
//
//	crowd COMMAND [ARGUMENTS]
//	crowd -parts FOLDER    makes the lab's parts in a folder, for LAB_BUILT
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

func main() {
	folder := flag.String("parts", "", "make the lab's parts in a folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *folder != "":
		err = makeParts(ctx, *folder)
	case flag.NArg() == 0:
		err = errors.New("name a command")
	default:
		err = crowded(ctx, flag.Args())
	}
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() > 0 {
		os.Exit(ended.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

// makeParts copies what Build and Switchyard make.
func makeParts(ctx context.Context, folder string) error {
	parts, err := lab.Build(ctx)
	if err != nil {
		return err
	}
	program, err := lab.Switchyard(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, "engine"), 0o755); err != nil {
		return err
	}
	for _, file := range []string{parts.ModelRunner, parts.DockerModel, parts.Registry, program} {
		err = errors.Join(err, copyProgram(file, folder))
	}
	return errors.Join(err, copyProgram(filepath.Join(parts.EngineDir, "llama-server"), filepath.Join(folder, "engine")))
}

func copyProgram(file, folder string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	copied := filepath.Join(folder, filepath.Base(file))
	if err := os.WriteFile(copied, data, 0o755); err != nil {
		return err
	}
	return os.Chmod(copied, 0o755) // whatever the umask is
}

// crowded runs a command among everything.
func crowded(ctx context.Context, command []string) error {
	home, err := os.MkdirTemp("", "crowd")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	bus, err := lab.StartBus(home, lab.Environ(home, ""), true)
	if err != nil {
		return err
	}
	defer bus.Close()
	end, err := fill(ctx, home, bus)
	defer end()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if cmd.Env, err = environment(ctx, home, bus.Address); err != nil {
		return err
	}
	syscall.Umask(0o077)
	return cmd.Run()
}

// fill starts what a machine in use has. What is there already serves as well.
func fill(ctx context.Context, home string, bus *lab.Bus) (end func(), err error) {
	var ends []func()
	end = func() {
		for i := len(ends) - 1; i >= 0; i-- {
			ends[i]()
		}
	}
	parts, err := lab.Build(ctx)
	if err != nil {
		return end, err
	}
	program, err := lab.Switchyard(ctx)
	if err != nil {
		return end, err
	}
	if listens(ctx, "12434") {
		fmt.Println("crowd: something is at port 12434 already")
	} else {
		runner, err := lab.StartRunnerAt(ctx, parts, home, "12434")
		if err != nil {
			return end, err
		}
		ends = append(ends, runner.Stop)
		if err := runner.Add(ctx, "ai/theirs", gguf.Model{}); err != nil {
			return end, err
		}
	}
	if socket, err := net.Listen("unix", "/var/run/docker.sock"); err == nil { // accepts, and never answers
		ends = append(ends, func() { _ = socket.Close() })
	}
	tray := exec.Command(program)
	tray.Env, tray.Dir = append(lab.Environ(home, bus.Address), "MODEL_RUNNER_HOST=http://127.0.0.1:12434", "SWITCHYARD_GATEWAY_PORT=12480"), home
	claude := exec.Command("sleep", "86400")
	claude.Env, claude.Dir = tray.Env, home
	for _, cmd := range []*exec.Cmd{tray, claude} {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return end, err
		}
		ends = append(ends, func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		})
	}
	if err := record(home, claude.Process.Pid); err != nil {
		return end, err
	}
	return end, await(ctx, "12480")
}

// record writes what a running Claude Code keeps in its folder.
func record(home string, pid int) error {
	dir := filepath.Join(home, ".claude", "sessions")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(`{"pid":%d,"sessionId":"theirs","cwd":%q,"startedAt":%d,"status":"busy"}`, pid, home, time.Now().UnixMilli())
	return os.WriteFile(filepath.Join(dir, fmt.Sprint(pid, ".json")), []byte(text), 0o600)
}

func await(ctx context.Context, port string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for !listens(ctx, port) {
		select {
		case <-ctx.Done():
			return errors.New("nothing comes up at port " + port)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func listens(ctx context.Context, port string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// environment is this process's with everything in it that could mislead a test.
// The Go command's caches stay where they are.
func environment(ctx context.Context, home, bus string) ([]string, error) {
	env := os.Environ()
	if _, err := exec.LookPath("go"); err == nil {
		for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
			value, err := exec.CommandContext(ctx, "go", "env", name).Output()
			if err != nil {
				return nil, fmt.Errorf("go env %s: %w", name, err)
			}
			env = append(env, name+"="+strings.TrimSpace(string(value)))
		}
	}
	if os.Getenv("LAB_CACHE") == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		env = append(env, "LAB_CACHE="+filepath.Join(user, "switchyard-lab"))
	}
	const nowhere = "http://127.0.0.1:1"
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"="+nowhere, strings.ToLower(name)+"="+nowhere)
	}
	for _, pair := range lab.Environ(home, bus) {
		if name, _, _ := strings.Cut(pair, "="); name == "HOME" || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "DBUS_") {
			env = append(env, pair)
		}
	}
	return append(env, "NO_PROXY=", "no_proxy=", "LANG=de_DE.UTF-8", "LC_ALL=de_DE.UTF-8", "LANGUAGE=de", "TZ=Asia/Kolkata",
		"DOCKER_HOST=tcp://127.0.0.1:1", "DOCKER_CONTEXT=theirs", "DOCKER_TLS_VERIFY=1", "DOCKER_CONFIG="+home, "MODEL_RUNNER_HOST=http://127.0.0.1:12434",
		"ANTHROPIC_API_KEY=theirs", "ANTHROPIC_AUTH_TOKEN=theirs", "ANTHROPIC_BASE_URL="+nowhere, "ANTHROPIC_MODEL=theirs",
		"CLAUDE_CONFIG_DIR="+filepath.Join(home, ".claude"), "CLAUDECODE=1", "SWITCHYARD_AUTO=switch", "SWITCHYARD_ENGINE=container", "SWITCHYARD_CLOUD=never",
		"GOPROXY=off", "GOTOOLCHAIN=local"), nil
}
