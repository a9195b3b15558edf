// Command demo shows Switchyard's main job on scratch parts: own home folder,
// real Model Runner, tiny model, the real Claude Code where npm is reachable. It
// touches nothing of the user's.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	home, err := os.MkdirTemp("", "switchyard-demo-")
	if err == nil {
		d := &demo{ctx: ctx, home: home, settings: filepath.Join(home, ".claude", "settings.json")}
		err = errors.Join(d.run(), d.cleanUp())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	ctx      context.Context
	home     string
	settings string
	program  string
	claude   string // empty: not to be had
	parts    *lab.Parts
	environ  []string
	tray     *exec.Cmd
}

// original is the settings file of a user with habits: tabs, an odd order, no final newline.
const original = "{\n\t\"theme\": \"dark\",\n\t\"permissions\": { \"allow\": [\"Bash(ls:*)\"] },\n\t\"env\": { \"EDITOR\": \"vi\" }\n}"

func (d *demo) run() error {
	fmt.Println("Switchyard's demo: everything happens in", d.home)
	if err := d.prepare(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.settings), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(d.settings, []byte(original), 0o600); err != nil {
		return err
	}
	if err := d.startTray(); err != nil {
		return err
	}
	d.say("Claude Code's settings, as they are", indent(original))
	for _, step := range []struct{ title, command string }{
		{"Start Model Runner: here Switchyard runs it itself, as on a machine without Docker", "runner start"},
		{"Where do Claude Code's requests go?", "status"},
		{"Would a model with a strict chat template work, asked directly?", "check --model strict --direct"},
		{"And through Switchyard's gateway?", "check --model strict"},
		{"Move Claude Code to it", "local strict"},
	} {
		err := d.switchyard(step.title, strings.Fields(step.command)...)
		if refused := strings.Contains(step.command, "--direct"); refused != (err != nil) {
			return errors.Join(err, errors.New("that was not expected"))
		}
	}
	if err := d.ask(); err != nil {
		return err
	}
	if err := d.switchyard("What the gateway saw of it", "requests"); err != nil {
		return err
	}
	if err := d.pullThePlug(); err != nil {
		return err
	}
	if err := d.switchyard("And back", "cloud"); err != nil {
		return err
	}
	now, err := os.ReadFile(d.settings)
	if err != nil {
		return err
	}
	if string(now) != original {
		return fmt.Errorf("the settings are not what they were:\n%s", now)
	}
	d.say("The settings file is byte for byte what it was", fmt.Sprintf("  %d bytes, compared", len(now)))
	d.linger()
	return nil
}

func (d *demo) prepare() (err error) {
	fmt.Println("Building the parts, or finding them from last time …")
	start := time.Now()
	if d.program, err = lab.Switchyard(d.ctx); err != nil {
		return err
	}
	if d.parts, err = lab.Build(d.ctx); err != nil {
		return err
	}
	d.claude, err = lab.Claude(d.ctx)
	if err != nil && !errors.Is(err, lab.ErrNoClaude) {
		return err
	}
	fmt.Printf("ready after %s\n\n", time.Since(start).Round(time.Second))
	engine := "a double that says one sentence (name a real llama-server with LAB_LLAMA_SERVER)"
	if d.parts.RealEngine {
		engine = "real: " + os.Getenv("LAB_LLAMA_SERVER")
	}
	claude := "real, from npm"
	if d.claude == "" {
		claude = "not to be had (no npm, or its registry is out of reach): its request is sent by hand"
	}
	fmt.Printf("  Switchyard          real, built from this folder\n  Docker Model Runner real, built from its Go module\n  Claude Code         %s\n  the model           real GGUF, but tiny\n  inference engine    %s\n", claude, engine)

	store := filepath.Join(d.home, "model-runner")
	if err := os.Mkdir(store, 0o700); err != nil {
		return err
	}
	if err := d.fill(store); err != nil {
		return err
	}
	d.environ = append(lab.Environ(d.home, os.Getenv("DBUS_SESSION_BUS_ADDRESS")), "DISABLE_AUTOUPDATER=1", "MODELS_PATH="+filepath.Join(store, "models"),
		"SWITCHYARD_ENGINE=process", "SWITCHYARD_MODEL_RUNNER="+d.parts.ModelRunner, "SWITCHYARD_LLAMA_SERVER="+filepath.Join(d.parts.EngineDir, "llama-server"))
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY"} {
		if v := os.Getenv(name); v != "" {
			d.environ = append(d.environ, name+"="+v)
		}
	}
	return os.WriteFile(filepath.Join(d.home, ".claude.json"), []byte(`{"hasCompletedOnboarding":true}`), 0o600)
}

// fill puts two tiny models into a Model Runner's store.
func (d *demo) fill(store string) error {
	runner, err := lab.StartRunner(d.ctx, d.parts, store)
	if err != nil {
		return err
	}
	defer runner.Stop()
	for name, m := range map[string]gguf.Model{"ai/tiny": {}, "ai/strict": {Strict: true}} {
		if err := runner.Add(d.ctx, name, m); err != nil {
			return err
		}
	}
	return nil
}

// pullThePlug kills Model Runner and asks once more.
func (d *demo) pullThePlug() error {
	lock := filepath.Join(d.home, ".local", "state", "switchyard", "runner", "lock")
	pid, err := os.ReadFile(lock)
	if err != nil {
		return err
	}
	d.say("Pull the plug: Model Runner is killed", "  $ kill -9 "+strings.TrimSpace(string(pid)))
	if err := d.command("kill", "-9", strings.TrimSpace(string(pid))).Run(); err != nil {
		return err
	}
	if err := d.ask(); err != nil {
		return err
	}
	return d.switchyard("It was started again", "runner")
}

func (d *demo) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.ctx, name, args...)
	cmd.Env, cmd.Dir = d.environ, d.home
	return cmd
}

// startTray starts Switchyard, with the real icon where there is a desktop, and
// waits for its gateway.
func (d *demo) startTray() error {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		fmt.Println("  the tray            without an icon: there is no desktop session here")
	} else {
		fmt.Println("  the tray            real: look at your panel, the icon follows what happens here")
	}
	d.tray = d.command(d.program)
	if err := d.tray.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, 20*time.Second)
	defer cancel()
	for d.command(d.program, "gateway").Run() != nil {
		select {
		case <-ctx.Done():
			return errors.New("the gateway does not come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (d *demo) switchyard(title string, args ...string) error {
	out, err := d.command(d.program, args...).CombinedOutput()
	if err == nil || len(out) > 0 {
		d.say(title, "  $ switchyard "+strings.Join(args, " ")+"\n"+indent(string(out)))
	}
	if err != nil {
		return fmt.Errorf("switchyard %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// ask sends a prompt as Claude Code does and checks that the engine answered.
func (d *demo) ask() error {
	var out []byte
	var err error
	title, shown := "Ask Claude Code something", "  $ claude -p hello\n"
	if d.claude != "" {
		ctx, cancel := context.WithTimeout(d.ctx, 90*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, d.claude, "-p", "hello", "--tools", "Bash,Agent")
		cmd.Env, cmd.Dir = d.environ, d.home
		out, err = cmd.CombinedOutput()
	} else {
		title, shown = "Ask what Claude Code would ask", "  POST …/v1/messages, with the address from its settings\n"
		out, err = d.byHand()
	}
	d.say(title, shown+indent(string(out)))
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	if !bytes.Contains(out, []byte(gguf.Answer)) {
		return errors.New("that was not the local engine's answer")
	}
	return nil
}

func (d *demo) byHand() ([]byte, error) {
	data, err := os.ReadFile(d.settings)
	if err != nil {
		return nil, err
	}
	var settings struct{ Env map[string]string }
	if err := json.Unmarshal(data, &settings); err != nil {
		return nil, err
	}
	body := fmt.Sprintf(`{"model":%q,"max_tokens":64,"messages":[{"role":"user","content":"hello\n"}]}`, settings.Env["ANTHROPIC_DEFAULT_OPUS_MODEL"])
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, settings.Env["ANTHROPIC_BASE_URL"]+"/v1/messages", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+settings.Env["ANTHROPIC_AUTH_TOKEN"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (d *demo) say(title, text string) {
	fmt.Printf("\n── %s\n%s\n", title, strings.TrimRight(text, "\n"))
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// linger leaves the tray up for whoever sits before a desktop.
func (d *demo) linger() {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" || !term.IsTerminal(int(os.Stdin.Fd())) {
		return
	}
	fmt.Print("\nThe tray is yours: click Local and Cloud. Enter ends the demo. ")
	enter := make(chan struct{})
	go func() { // ends with the process
		_, _ = fmt.Scanln()
		close(enter)
	}()
	select {
	case <-enter:
	case <-d.ctx.Done():
	}
}

// cleanUp leaves nothing but the cached parts.
func (d *demo) cleanUp() error {
	if d.tray != nil {
		_ = d.tray.Process.Signal(os.Interrupt)
		_ = d.tray.Wait()
	}
	err := os.RemoveAll(d.home)
	if err == nil {
		fmt.Printf("\nRemoved %s. The built parts are kept for next time; make clean removes them.\n", d.home)
	}
	return err
}
