package engine

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
)

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
	cmd.Env = append(slices.Clone(c.environ), "DOCKER_HOST="+c.docker.Host, fmt.Sprintf("MODEL_RUNNER_HOST=http://127.0.0.1:%d", port))
	said, err := told(cmd, progress)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &Error{Code: Failed, Why: "the installation was interrupted", Remedy: "run it again: switchyard runner install", Err: ctx.Err()}
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

// plugin is the command line of Docker's model command, wherever Docker looks for it.
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
	if file := LookPath(name, c.getenv("PATH")); file != "" {
		return []string{file}, nil
	}
	return nil, &Error{Code: NoPlugin, Why: "Docker's model command (the plugin docker-model) is missing",
		Remedy: "install it: sudo apt-get install docker-model-plugin (https://docs.docker.com/ai/model-runner/)"}
}
