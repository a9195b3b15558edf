// Command bench measures what a user feels, on this machine, and prints a table
// with the aims beside it. It uses scratch parts, as the demo does. An argument
// keeps only the lines that begin so.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/switching"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	ctx     context.Context
	home    string
	program string
	bus     *lab.Bus
	environ []string
	runner  *lab.Runner
}

// row is one line of the table.
type row struct {
	name, aim string
	measure   func() (string, error)
}

func run(ctx context.Context) error {
	home, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	b := &bench{ctx: ctx, home: home}
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.runner.Stop()
	defer b.bus.Close()
	fmt.Printf("%-44s %-36s %s\n", "what", "measured", "aim")
	for _, m := range append([]row{
		{"switch without proofs, in the tray", "10 ms p99", b.switching},
		{"switchyard local --force, the whole command", "", func() (string, error) { return b.command("local", "--force", "ai/tiny") }},
		{"switchyard status, the whole command", "50 ms", func() (string, error) { return b.command("status") }},
		{"switchyard version, the whole command", "5 ms", func() (string, error) { return b.command("version") }},
		{"start → icon registered", "25 ms", b.start},
		{"a changed file → the menu", "300 ms", b.follow},
		{"idle for 60 s in the cloud route: memory, CPU", "20 MB in all, 0 %", b.idle},
		{"idle for 60 s in the local route", "20 MB in all, 0.1 %, 2 requests", b.idleLocal},
		{"binary, stripped", "20 MB", b.size},
	}, append(b.sessionRows(), b.gatewayRows()...)...) {
		if len(os.Args) > 1 && !strings.HasPrefix(m.name, os.Args[1]) {
			continue
		}
		result, err := m.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("%-44s %-36s %s\n", m.name, result, m.aim)
	}
	return nil
}

func (b *bench) prepare() (err error) {
	root, err := lab.Root()
	if err != nil {
		return err
	}
	b.program = filepath.Join(root, "bin", "switchyard")
	if out, err := exec.CommandContext(b.ctx, "make", "-C", root, "build").CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	parts, err := lab.Build(b.ctx)
	if err != nil {
		return err
	}
	store := filepath.Join(b.home, "store")
	for _, dir := range []string{store, filepath.Join(b.home, "run"), filepath.Join(b.home, ".claude")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if b.runner, err = lab.StartRunner(b.ctx, parts, store); err != nil {
		return err
	}
	if err := b.runner.Add(b.ctx, "ai/tiny", gguf.Model{}); err != nil {
		return err
	}
	if b.bus, err = lab.StartBus(filepath.Join(b.home, "run"), lab.Environ(b.home, ""), true); err != nil {
		return err
	}
	b.environ = append(lab.Environ(b.home, b.bus.Address), "MODEL_RUNNER_HOST="+b.runner.URL)
	return os.WriteFile(filepath.Join(b.home, ".claude", "settings.json"), []byte("{\n  \"theme\": \"dark\"\n}\n"), 0o600)
}

func spread(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%s median, %s p99", round(times[len(times)/2]), round(times[len(times)*99/100]))
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func (b *bench) switching() (string, error) {
	m, err := machine.Open(config.Paths{Config: filepath.Join(b.home, "none.toml"), State: filepath.Join(b.home, "bench-state")}, b.home, b.environ)
	if err != nil {
		return "", err
	}
	var times []time.Duration
	for i := range 1000 {
		r := switching.Request{Route: claude.Local, Model: "ai/tiny", Force: true}
		if i%2 == 1 {
			r = switching.Request{Route: claude.Cloud}
		}
		start := time.Now()
		if _, err := switching.Switch(b.ctx, m, r, localrunner.Progress{}); err != nil {
			return "", err
		}
		times = append(times, time.Since(start))
	}
	return spread(times), nil
}

func (b *bench) command(args ...string) (string, error) {
	var times []time.Duration
	for range 100 {
		cmd := exec.CommandContext(b.ctx, b.program, args...)
		cmd.Env, cmd.Dir = b.environ, b.home
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		times = append(times, time.Since(start))
	}
	cmd := exec.CommandContext(b.ctx, b.program, "cloud")
	cmd.Env, cmd.Dir = b.environ, b.home
	return spread(times), cmd.Run()
}

// tray starts the tray, with its time from start to a registered icon.
func (b *bench) tray() (cmd *exec.Cmd, took time.Duration, err error) { return b.trayWith() }

// trayWith does so with further variables.
func (b *bench) trayWith(variables ...string) (cmd *exec.Cmd, took time.Duration, err error) {
	b.bus.Forget()
	cmd = exec.CommandContext(b.ctx, b.program)
	cmd.Env, cmd.Dir = append(slices.Clone(b.environ), variables...), b.home
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	wait, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	err = b.bus.Until(wait, "the icon", b.bus.Registered)
	return cmd, time.Since(start), err
}

func end(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return cmd.Wait()
}

func (b *bench) start() (string, error) {
	var times []time.Duration
	for range 30 {
		cmd, took, err := b.tray()
		if err != nil {
			return "", err
		}
		times = append(times, took)
		if err := end(cmd); err != nil {
			return "", err
		}
	}
	return spread(times), nil
}

// follow measures from a write by another program to the menu's signal.
func (b *bench) follow() (string, error) {
	cmd, _, err := b.tray()
	if err != nil {
		return "", err
	}
	settings := filepath.Join(b.home, ".claude", "settings.json")
	original, err := os.ReadFile(settings)
	if err != nil {
		return "", err
	}
	marked := func(label string) func() bool {
		return func() bool {
			menu, err := b.bus.Menu()
			row, ok := lab.Find(menu, label)
			return err == nil && ok && row.Ticked
		}
	}
	wait, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := b.bus.Until(wait, "the menu", func() bool {
		menu, err := b.bus.Menu()
		_, ok := lab.Find(menu, "Model Runner: running")
		return err == nil && ok
	}); err != nil {
		return "", err
	}
	var times []time.Duration
	byHand := `{"env":{"ANTHROPIC_BASE_URL":"` + b.runner.URL + `/anthropic"}}`
	for i := range 20 {
		text, label := byHand, "Local"
		if i%2 == 1 {
			text, label = string(original), "Cloud"
		}
		start := time.Now()
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			return "", err
		}
		if err := b.bus.Until(wait, label, marked(label)); err != nil {
			return "", err
		}
		times = append(times, time.Since(start))
	}
	return spread(times), end(cmd)
}

func (b *bench) idle() (string, error) {
	cmd, _, err := b.tray()
	if err != nil {
		return "", err
	}
	result, err := b.idling(cmd.Process.Pid)
	return result, errors.Join(err, end(cmd))
}

// idleLocal is a healthy runner that Claude Code depends on.
func (b *bench) idleLocal() (string, error) {
	cmd, _, err := b.tray()
	if err != nil {
		return "", err
	}
	local := exec.CommandContext(b.ctx, b.program, "local", "ai/tiny")
	local.Env, local.Dir = b.environ, b.home
	if out, err := local.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	time.Sleep(5 * time.Second)
	asked, woken := b.asked(), wakeUps(cmd.Process.Pid)
	result, err := b.idling(cmd.Process.Pid)
	if err != nil {
		return "", err
	}
	result += fmt.Sprintf(", %.1f wake-ups/s, %d requests to the runner", float64(wakeUps(cmd.Process.Pid)-woken)/idleTime.Seconds(), b.asked()-asked)
	back := exec.CommandContext(b.ctx, b.program, "cloud")
	back.Env, back.Dir = b.environ, b.home
	return result, errors.Join(back.Run(), end(cmd))
}

// asked counts the runner's answers to requests for its models.
func (b *bench) asked() int {
	log, _ := os.ReadFile(b.runner.Log)
	return strings.Count(string(log), "Listing available models")
}

// wakeUps counts how often a process's threads went to sleep, and so were woken.
func wakeUps(pid int) (n int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		status, _ := os.ReadFile(file)
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				one, _ := strconv.Atoi(strings.TrimSpace(value))
				n += one
			}
		}
	}
	return n
}

const idleTime = 60 * time.Second

// idling measures a process that has nothing to do.
func (b *bench) idling(pid int) (string, error) {
	time.Sleep(2 * time.Second) // start-up is not idling
	before, err := cpu(pid)
	if err != nil {
		return "", err
	}
	time.Sleep(idleTime)
	after, err := cpu(pid)
	if err != nil {
		return "", err
	}
	size, err := memory(pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.2f %%", size, 100*(after-before).Seconds()/idleTime.Seconds()), nil
}

// memory is a process's own, which nobody else could use, and what it has mapped of
// files, as its program, which the kernel takes back where it needs room.
func memory(pid int) (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	megabytes := map[string]float64{}
	for line := range strings.Lines(string(status)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "Rss") {
			kilobytes, _ := strconv.Atoi(strings.Fields(value)[0])
			megabytes[name] = float64(kilobytes) * 1024 / 1e6
		}
	}
	return fmt.Sprintf("%.1f MB own, %.1f MB mapped", megabytes["RssAnon"], megabytes["RssFile"]), nil
}

// cpu is the processor time that a process has used; the kernel counts in 1/100 s.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

func (b *bench) size() (string, error) {
	info, err := os.Stat(b.program)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), nil
}
