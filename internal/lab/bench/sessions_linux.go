package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/service/gateway"
)

func (b *bench) sessionRows() []row {
	return []row{
		{"run, what comes before claude, against a script", "less than the script", b.runOverhead},
		{"200 sessions, 50 records changing a second", "", b.manySessions},
		{"lean profile, the first request", "20 % of the bytes", b.leanly},
	}
}

// do runs one command of the program, after which nothing is left to do.
func (b *bench) do(args ...string) error {
	cmd := exec.CommandContext(b.ctx, b.program, args...)
	cmd.Env, cmd.Dir = b.environ, b.home
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// runOverhead starts a claude that ends at once by "switchyard run" and by the usual
// script, in turn.
func (b *bench) runOverhead() (string, error) {
	tray, _, err := b.tray()
	if err != nil {
		return "", err
	}
	if err := b.do("local", "ai/tiny"); err != nil {
		return "", err
	}
	bin := filepath.Join(b.home, "bin")
	script := "#!/bin/sh\ncurl -sf " + b.runner.URL + "/models > /dev/null || exit 1\n" +
		"exec env ANTHROPIC_BASE_URL=" + b.runner.URL + "/anthropic ANTHROPIC_AUTH_TOKEN=x claude --model ai/tiny \"$@\"\n"
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.WriteFile(filepath.Join(bin, "claude"), []byte("#!/bin/sh\nexit 0\n"), 0o755),
		os.WriteFile(filepath.Join(bin, "local-claude"), []byte(script), 0o755)); err != nil {
		return "", err
	}
	var ours, theirs []time.Duration
	for range 200 {
		for way, name := range []string{b.program, filepath.Join(bin, "local-claude")} {
			var args []string
			if way == 0 {
				args = []string{"run", "--", "-p", "hello"}
			}
			cmd := exec.CommandContext(b.ctx, name, args...)
			cmd.Env, cmd.Dir = append(slices.Clone(b.environ), "PATH="+bin+":"+os.Getenv("PATH")), b.home
			start := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("%s: %w\n%s", name, err, out)
			}
			if took := time.Since(start); way == 0 {
				ours = append(ours, took)
			} else {
				theirs = append(theirs, took)
			}
		}
	}
	return "run " + spread(ours) + "; script " + spread(theirs), errors.Join(b.do("cloud"), end(tray))
}

// manySessions has as many records as no person has, of a process that lives.
func (b *bench) manySessions() (string, error) {
	dir := filepath.Join(b.home, ".claude", "sessions")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	var sleepers []*exec.Cmd
	defer func() {
		for _, s := range sleepers {
			_ = s.Process.Kill()
			_ = s.Wait()
		}
	}()
	write := func(i, version int) error {
		pid := sleepers[i].Process.Pid
		data, err := json.Marshal(map[string]any{"pid": pid, "sessionId": fmt.Sprintf("00000000-0000-0000-0000-%012d", i), "cwd": filepath.Join(b.home, fmt.Sprint("p", i%20)),
			"kind": "interactive", "entrypoint": "cli", "version": "2.1.330", "status": []string{"idle", "busy"}[version%2], "statusUpdatedAt": time.Now().UnixMilli()})
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", pid)), data, 0o600)
	}
	for i := range 200 {
		s := exec.CommandContext(b.ctx, "sleep", "600")
		if err := s.Start(); err != nil {
			return "", err
		}
		sleepers = append(sleepers, s)
		if err := write(i, 0); err != nil {
			return "", err
		}
	}
	tray, _, err := b.tray()
	if err != nil {
		return "", err
	}
	time.Sleep(3 * time.Second)
	quiet, err := cpu(tray.Process.Pid)
	if err != nil {
		return "", err
	}
	const seconds = 20
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range seconds * 50 {
		<-tick.C
		if err := write(i*7%200, i); err != nil {
			return "", err
		}
	}
	busy, err := cpu(tray.Process.Pid)
	if err != nil {
		return "", err
	}
	size, err := memory(tray.Process.Pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f %% of a CPU, %s", 100*(busy-quiet).Seconds()/seconds, size), end(tray)
}

// leanly asks the real Claude Code the same, plain and lean, through the gateway.
func (b *bench) leanly() (string, error) {
	claudeCode, err := lab.Claude(b.ctx)
	if errors.Is(err, lab.ErrNoClaude) {
		return "not measured: no npm", nil
	}
	if err != nil {
		return "", err
	}
	tray, _, err := b.tray()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(b.home, ".claude.json"), []byte(`{"hasCompletedOnboarding":true}`), 0o600); err != nil {
		return "", err
	}
	var parts []string
	for _, lean := range []string{"--lean=false", "--lean=true"} {
		if err := b.do("local", "ai/tiny", lean); err != nil {
			return "", err
		}
		prompt := exec.CommandContext(b.ctx, claudeCode, "-p", "hello")
		prompt.Env, prompt.Dir = append(slices.Clone(b.environ), "DISABLE_AUTOUPDATER=1"), b.home
		if out, err := prompt.CombinedOutput(); err != nil {
			return "", fmt.Errorf("claude: %w\n%s", err, out)
		}
		records := exec.CommandContext(b.ctx, b.program, "requests", "--json")
		records.Env, records.Dir = b.environ, b.home
		out, err := records.Output()
		if err != nil {
			return "", err
		}
		var all []gateway.Record
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&all); err != nil {
			return "", err
		}
		last := all[len(all)-1]
		parts = append(parts, fmt.Sprintf("%d bytes, %d tokens, first word after %s", last.Bytes, last.InputTokens, time.Duration(last.TTFT)*time.Millisecond))
	}
	return "plain " + parts[0] + "; lean " + parts[1], errors.Join(b.do("local", "ai/tiny", "--lean=false"), b.do("cloud"), end(tray))
}
