//go:build e2e && linux

// Package e2e uses Switchyard as a person does: a real panel, a real mouse, the
// real Claude Code, the real Model Runner. The inference engine is llama.cpp where a
// test is about it, else a double, unless LAB_LLAMA_SERVER names a real one.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/internal/lab/messages"
)

// user is a person with a scratch home, Claude Code, a runner and Switchyard.
type user struct {
	*testing.T
	ctx      context.Context
	home     string
	settings string
	claude   string
	program  string
	environ  []string
	runner   *lab.Runner
	real     bool         // the engine is llama.cpp
	asked    atomic.Int64 // Messages requests that reached the runner
	cached   atomic.Int64 // tokens of the last one's prompt that came from the engine's cache
	store    string       // the folder of its Model Runner
	quit     func()       // ends its tray in order
}

var cacheRead = regexp.MustCompile(`"cache_read_input_tokens":(\d+)`)

// note reads the cached tokens out of an answer that passes.
type note struct {
	io.ReadCloser
	cached *atomic.Int64
}

func (n note) Read(p []byte) (int, error) {
	read, err := n.ReadCloser.Read(p)
	if m := cacheRead.FindSubmatch(p[:read]); m != nil {
		tokens, _ := strconv.ParseInt(string(m[1]), 10, 64)
		n.cached.Store(tokens)
	}
	return read, err
}

func newUser(t *testing.T) *user {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newUserOf(t, parts)
}

func newUserOf(t *testing.T, parts *lab.Parts) *user {
	t.Helper()
	home, err := os.MkdirTemp("", "e2e") // short, for the sockets in it
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	u := &user{T: t, ctx: ctx, home: home}
	t.Cleanup(func() {
		cancel()
		if t.Failed() { // a guard of a killed Switchyard may be left
			for _, pid := range u.programs() {
				n, _ := strconv.Atoi(pid)
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
		// The desktop's programs write until they are gone.
		u.until("an end of all programs", func() bool {
			return os.RemoveAll(home) == nil && len(u.programs()) == 0
		})
	})
	if u.claude, err = lab.Claude(ctx); err != nil {
		t.Fatal(err)
	}
	if u.program, err = lab.Switchyard(ctx); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	runner, err := lab.StartRunner(ctx, parts, store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runner.Stop)
	u.runner, u.store, u.real = runner, store, parts.RealEngine
	u.add("ai/tiny", gguf.Model{})
	target, err := url.Parse(runner.URL)
	if err != nil {
		t.Fatal(err)
	}
	// A plain proxy in between counts what arrives; it changes nothing.
	forward := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if u.real && r.StatusCode >= http.StatusInternalServerError {
				said, _ := io.ReadAll(r.Body)
				t.Logf("Model Runner says %s: %s", r.Status, said)
				r.Body = io.NopCloser(bytes.NewReader(said))
			}
			r.Body = note{r.Body, &u.cached}
			return nil
		}}
	counter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/v1/messages") {
			u.asked.Add(1)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(counter.Close)
	u.settings = filepath.Join(u.home, ".claude", "settings.json")
	u.environ = append(lab.Environ(u.home, ""), "MODEL_RUNNER_HOST="+counter.URL)
	u.write(filepath.Join(u.home, ".claude.json"), fmt.Sprintf(
		`{"hasCompletedOnboarding":true,"projects":{%q:{"hasTrustDialogAccepted":true,"hasCompletedProjectOnboarding":true}}}`, u.home))
	return u
}

func (u *user) add(name string, m gguf.Model) {
	u.Helper()
	if err := u.runner.Add(u.ctx, name, m); err != nil {
		u.Fatal(err)
	}
}

// programs lists the processes that still use the scratch home.
func (u *user) programs() (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if environ, err := os.ReadFile(file); err == nil && strings.Contains(string(environ), "HOME="+u.home) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

func (u *user) write(path, text string) {
	u.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		u.Fatal(err)
	}
}

func (u *user) read() string {
	data, _ := os.ReadFile(u.settings)
	return string(data)
}

// tray starts Switchyard's tray; kill ends it as the kernel does when memory is short.
func (u *user) tray(environ []string) (kill func()) {
	u.Helper()
	cmd := exec.Command(u.program)
	cmd.Env, cmd.Dir = append(environ, "MODEL_RUNNER_HOST="+lookup(u.environ, "MODEL_RUNNER_HOST")), u.home
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	end := sync.OnceFunc(func() { _ = cmd.Wait() })
	u.quit = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		end()
	}
	u.Cleanup(func() {
		u.quit()
		if u.Failed() {
			log, _ := os.ReadFile(filepath.Join(u.home, ".local", "state", "switchyard", "switchyard.log"))
			u.Logf("Switchyard's log:\n%s\nsettings:\n%s", log, u.read())
		}
	})
	return func() {
		_ = cmd.Process.Kill()
		end()
	}
}

func lookup(environ []string, name string) string {
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// until waits for something that shows no event, for at most two minutes.
func (u *user) until(what string, condition func() bool) {
	u.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			u.Fatalf("waited in vain for %s\n%s", what, u.screen())
		case <-tick.C:
		}
	}
}

// print runs claude -p and returns what it prints.
func (u *user) print(prompt string) (string, error) { return u.printWith("Bash", prompt) }

// printWith does so with other tools: with Agent among them a request has a
// system message in mid-conversation.
func (u *user) printWith(tools, prompt string) (string, error) {
	ctx, cancel := context.WithTimeout(u.ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, u.claude, "-p", prompt, "--tools", tools)
	cmd.Env, cmd.Dir = append(u.environ, "DISABLE_AUTOUPDATER=1"), u.home
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pictures is where screenshots go: a folder for looking at them, or the README's.
func (u *user) picture(d *lab.Desktop, name string, part image.Rectangle) {
	u.Helper()
	dir := "out"
	if os.Getenv("UPDATE_SCREENSHOTS") != "" {
		root, err := lab.Root()
		if err != nil {
			u.Fatal(err)
		}
		dir = filepath.Join(root, "docs", "screenshots")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		u.Fatal(err)
	}
	if err := d.Screenshot(u.ctx, filepath.Join(dir, name+".png"), part); err != nil {
		u.Fatal(err)
	}
}

func TestPanelClickMovesTheRealClaudeCode(t *testing.T) {
	u := newUser(t)
	const original = "{\r\n\t\"permissions\": { \"allow\": [] },\r\n\t\"theme\":\"dark\"}"
	u.write(u.settings, original)
	desktop, err := lab.StartDesktop(u.ctx, u.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desktop.Close)
	u.tray(desktop.Environ)
	var icon image.Rectangle
	u.until("the icon in the panel", func() (ok bool) { icon, ok = desktop.Icon(u.ctx); return ok })
	if err := desktop.Bus.UseIcon(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.until("the models in the menu", func() bool { return u.hasRow(desktop, "ai/tiny") })

	u.clickRow(desktop, icon, "Local", "menu-cloud")
	u.until("local settings", func() bool { return strings.Contains(u.read(), `"ANTHROPIC_BASE_URL"`) })
	u.until("the menu's mark", func() bool { return u.hasRow(desktop, "● Local") })
	before := u.asked.Load()
	said, err := u.print("hello")
	if err != nil || !strings.Contains(said, gguf.Answer) {
		t.Errorf("claude -p said %q, %v; want the engine's words", said, err)
	}
	if u.asked.Load() == before {
		t.Error("no request reached the runner")
	}

	u.clickRow(desktop, icon, "Cloud", "menu-local")
	u.until("the previous settings", func() bool { return u.read() == original })
	u.until("the menu's mark", func() bool { return u.hasRow(desktop, "● Cloud") })

	u.write(u.settings, "{ not json")
	u.until("the warning in the menu", func() bool { return u.hasRow(desktop, "⚠") })
	u.clickRow(desktop, icon, "Local", "")
	u.until("the menu's end", func() bool { _, open := desktop.Popup(u.ctx); return !open })
	u.until("the notification on the screen", func() bool { return desktop.HasWindow(u.ctx, "xfce4-notifyd", 150) })
	u.picture(desktop, "notification", image.Rect(300, 0, 800, 290))
	if u.read() != "{ not json" {
		t.Error("a refused file was changed")
	}
}

// openSubmenu opens a row of the menu with the mouse, and takes a picture of both.
func (u *user) openSubmenu(d *lab.Desktop, icon image.Rectangle, label, picture string) (submenu image.Rectangle) {
	u.Helper()
	popup, at := u.openMenu(d, icon, label)
	if err := d.ClickAt(u.ctx, at); err != nil {
		u.Fatal(err)
	}
	var was image.Rectangle
	u.until("the submenu", func() (ok bool) {
		was = submenu
		submenu, ok = d.Submenu(u.ctx, popup)
		return ok && submenu == was
	})
	u.picture(d, picture, image.Rect(min(popup.Min.X, submenu.Min.X)-20, 0, 800, max(popup.Max.Y, submenu.Max.Y)+20))
	return submenu
}

func (u *user) hasRow(d *lab.Desktop, label string) bool { return u.hasRowOn(d.Bus, label) }

func (u *user) hasRowOn(bus *lab.Bus, label string) bool {
	menu, err := bus.Menu()
	if err != nil {
		return false
	}
	_, ok := lab.Find(menu, label)
	return ok
}

// clickRow opens the menu with the mouse, takes a picture of it and clicks a row.
func (u *user) clickRow(d *lab.Desktop, icon image.Rectangle, label, picture string) {
	u.Helper()
	popup, at := u.openMenu(d, icon, label)
	if picture != "" {
		if err := d.Point(u.ctx, at); err != nil {
			u.Fatal(err)
		}
		u.picture(d, picture, image.Rect(popup.Min.X-20, 0, 800, popup.Max.Y+20))
	}
	if err := d.ClickAt(u.ctx, at); err != nil {
		u.Fatal(err)
	}
}

// openMenu opens the menu with the mouse and finds a row in it.
func (u *user) openMenu(d *lab.Desktop, icon image.Rectangle, label string) (popup image.Rectangle, at image.Point) {
	u.Helper()
	if err := d.ClickIcon(u.ctx, icon); err != nil {
		u.Fatal(err)
	}
	var was image.Rectangle
	u.until("the open menu", func() (ok bool) {
		was = popup
		popup, ok = d.Popup(u.ctx)
		return ok && popup == was // drawn, and no longer growing
	})
	menu, err := d.Bus.Menu()
	if err != nil {
		u.Fatal(err)
	}
	if at, err = d.RowAt(popup, menu, label); err != nil {
		u.Fatal(err)
	}
	return popup, at
}

// Model Runner is Switchyard's own here: the menu stops and starts it, and a kill is cured.
func TestTheMenuRunsModelRunner(t *testing.T) {
	u := newUser(t)
	desktop, err := lab.StartDesktop(u.ctx, u.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desktop.Close)
	parts, err := lab.Build(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	u.environ = slices.DeleteFunc(u.environ, func(pair string) bool { return strings.HasPrefix(pair, "MODEL_RUNNER_HOST=") })
	u.tray(append(desktop.Environ, "SWITCHYARD_ENGINE=process", "SWITCHYARD_MODEL_RUNNER="+parts.ModelRunner,
		"SWITCHYARD_LLAMA_SERVER="+filepath.Join(parts.EngineDir, "llama-server"), "MODELS_PATH="+filepath.Join(u.store, "models")))
	var icon image.Rectangle
	u.until("the icon in the panel", func() (ok bool) { icon, ok = desktop.Icon(u.ctx); return ok })
	if err := desktop.Bus.UseIcon(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.until("the stopped runner", func() bool { return u.hasRow(desktop, "Model Runner: stopped") })
	u.clickRow(desktop, icon, "Local", "")
	u.until("the runner, and the switch", func() bool { return u.hasRow(desktop, "● Local") && u.hasRow(desktop, "Model Runner: running since") })
	if said, err := u.print("hello"); err != nil || !strings.Contains(said, gguf.Answer) {
		t.Errorf("claude -p said %q, %v", said, err)
	}
	pid, err := os.ReadFile(filepath.Join(u.home, ".local", "state", "switchyard", "runner", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.until("the restart", func() bool { return u.hasRow(desktop, "Model Runner: restarting…") })
	u.until("the next run", func() bool { return u.hasRow(desktop, "Model Runner: running since") })
	if said, err := u.print("hello"); err != nil || !strings.Contains(said, gguf.Answer) {
		t.Errorf("after a kill claude -p said %q, %v", said, err)
	}

	submenu := u.openSubmenu(desktop, icon, "Model Runner:", "menu-runner")
	const rows = 4 // Start, Stop, Restart, Open its log
	if err := desktop.ClickAt(u.ctx, image.Pt((submenu.Min.X+submenu.Max.X)/2, submenu.Min.Y+submenu.Dy()*3/(2*rows))); err != nil {
		t.Fatal(err)
	}
	u.until("the stop", func() bool { return u.hasRow(desktop, "Model Runner: stopped by you") })
}

// A pull is announced on the screen, in the cloud too.
func TestAPulledModelIsToldOnTheScreen(t *testing.T) {
	u := newUser(t)
	desktop, err := lab.StartDesktop(u.ctx, u.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desktop.Close)
	parts, err := lab.Build(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	registry, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/coder": {Size: 300 << 20, Context: 65536}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	u.tray(desktop.Environ)
	u.until("the icon in the panel", func() bool { _, ok := desktop.Icon(u.ctx); return ok })
	if err := desktop.Bus.UseIcon(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.until("the models in the menu", func() bool { return u.hasRow(desktop, "ai/tiny") })
	pull := exec.CommandContext(u.ctx, parts.DockerModel, "pull", registry+"/ai/coder")
	pull.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.home, "MODEL_RUNNER_HOST=" + lookup(u.environ, "MODEL_RUNNER_HOST"), "MODEL_RUNNER_NO_AUTO_INSTALL=1"}
	if out, err := pull.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.until("the notification on the screen", func() bool { return desktop.HasWindow(u.ctx, "xfce4-notifyd", 150) })
	u.picture(desktop, "notification-pull", image.Rect(300, 0, 800, 200))
	u.until("the model in the menu", func() bool { return u.hasRow(desktop, registry+"/ai/coder") })
}

// reload is how long a running Claude Code takes to notice new settings (about
// 1 s was measured). Nothing outside it tells when it has.
const reload = 2 * time.Second

// companyGateway is a double of a company's gateway to the cloud.
type companyGateway struct {
	url   string
	asked atomic.Int64
}

const gatewayWords = "the company gateway greets you"

func newGateway(t *testing.T) *companyGateway {
	g := &companyGateway{}
	handler := &messages.Server{Answer: gatewayWords, Model: "claude-opus-4-6", OnRequest: func(*http.Request, messages.Request) { g.asked.Add(1) }}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// live starts a tray on doubles of the desktop, which the test clicks over D-Bus.
func (u *user) live() *lab.Bus {
	bus, _ := u.liveToKill()
	return bus
}

func (u *user) liveToKill() (bus *lab.Bus, kill func()) {
	u.Helper()
	if err := os.MkdirAll(filepath.Join(u.home, "run"), 0o700); err != nil {
		u.Fatal(err)
	}
	var err error
	bus, err = lab.StartBus(filepath.Join(u.home, "run"), u.environ, true)
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(bus.Close)
	kill = u.tray(append(slices.Clone(u.environ), "DBUS_SESSION_BUS_ADDRESS="+bus.Address))
	u.until("the icon", bus.Registered)
	return bus, kill
}

func (u *user) click(bus *lab.Bus, label string) {
	u.Helper()
	u.until("the click on "+label, func() bool { return bus.Click(label) == nil })
	u.until("the mark on "+label, func() bool {
		menu, err := bus.Menu()
		row, ok := lab.Find(menu, label)
		return err == nil && ok && row.Ticked
	})
}

func (u *user) tmux(args ...string) string {
	cmd := exec.CommandContext(u.ctx, "tmux", append([]string{"-S", filepath.Join(u.home, "tmux.sock")}, args...)...)
	cmd.Env = append(u.environ, "TERM=xterm-256color")
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (u *user) screen() string { return u.tmux("capture-pane", "-p") }

// openSession starts an interactive claude in tmux, with few tools: a short prompt.
func (u *user) openSession() { u.openSessionWith("Bash") }

func (u *user) openSessionWith(tools string) {
	u.Helper()
	u.openWith("--tools " + tools)
}

func (u *user) openWith(args string) {
	u.Helper()
	u.tmux("new-session", "-d", "-x", "120", "-y", "45", "-c", u.home, "env DISABLE_AUTOUPDATER=1 "+u.claude+" "+args)
	u.Cleanup(func() { u.tmux("kill-server") })
	u.until("claude's prompt", func() bool { return strings.Contains(u.screen(), "❯") || strings.Contains(u.screen(), "> ") })
	u.until("the session's record", func() bool { return len(u.sessions()) == 1 })
}

func (u *user) sessions() []string {
	files, _ := filepath.Glob(filepath.Join(u.home, ".claude", "sessions", "*.json"))
	return files
}

// say types a prompt and waits until it was answered by someone.
func (u *user) say(prompt string, answered func() bool) {
	u.Helper()
	time.Sleep(reload)
	u.tmux("send-keys", "-l", prompt)
	u.until("the prompt on the screen", func() bool { return strings.Contains(u.screen(), prompt) })
	u.tmux("send-keys", "Enter")
	u.until("the answer to "+prompt, answered)
}

// closeSession ends claude as a person does.
func (u *user) closeSession() {
	u.Helper()
	u.until("claude's end", func() bool {
		u.tmux("send-keys", "C-c")
		return len(u.sessions()) == 0 || !strings.Contains(u.tmux("list-sessions"), "windows")
	})
}

func TestALiveSessionFollowsTheClicks(t *testing.T) {
	u := newUser(t)
	company := newGateway(t)
	data, err := json.MarshalIndent(map[string]any{"env": map[string]string{
		"ANTHROPIC_BASE_URL": company.url, "ANTHROPIC_AUTH_TOKEN": "company-token",
	}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	original := string(data) + "\n"
	u.write(u.settings, original)
	bus := u.live()
	u.openSession()

	u.say("first prompt", func() bool { return strings.Contains(u.screen(), gatewayWords) })
	if n := u.asked.Load(); n != 0 {
		t.Errorf("%d requests reached the runner before the switch", n)
	}
	u.click(bus, "Local")
	proofs, company1 := u.asked.Load(), company.asked.Load()
	u.say("second prompt", func() bool { return strings.Contains(u.screen(), gguf.Answer) })
	if u.asked.Load() == proofs || company.asked.Load() != company1 {
		t.Errorf("after Local: %d requests to the runner, %d to the gateway", u.asked.Load()-proofs, company.asked.Load()-company1)
	}
	u.click(bus, "Cloud")
	local := u.asked.Load()
	u.say("third prompt", func() bool { return strings.Count(u.screen(), gatewayWords) == 2 })
	if company.asked.Load() == company1 || u.asked.Load() != local {
		t.Errorf("after Cloud: %d requests to the gateway, %d to the runner", company.asked.Load()-company1, u.asked.Load()-local)
	}
	u.closeSession()
	u.until("the previous settings", func() bool { return u.read() == original })
}

func TestALiveSessionLeavesTheRunnerWithoutAnyEnv(t *testing.T) {
	u := newUser(t)
	const original = "{\n  \"theme\": \"dark\"\n}\n"
	u.write(u.settings, original)
	bus := u.live()
	u.click(bus, "Local")
	u.openSession() // needs no login while the route is local
	u.say("first prompt", func() bool { return strings.Contains(u.screen(), gguf.Answer) })
	local := u.asked.Load()
	u.click(bus, "Cloud")
	if !strings.Contains(u.read(), `"ANTHROPIC_BASE_URL": ""`) {
		t.Errorf("a session lives, but the key is not \"\":\n%s", u.read())
	}
	words := strings.Count(u.screen(), gguf.Answer)
	u.say("second prompt", func() bool {
		screen := u.screen()
		return strings.Contains(screen, "login") || strings.Contains(screen, "API") || strings.Contains(screen, "Retrying") || strings.Contains(screen, "onnect")
	})
	if n := u.asked.Load(); n != local || strings.Count(u.screen(), gguf.Answer) != words {
		t.Errorf("after Cloud the session still talks to the runner: %d requests\n%s", n-local, u.screen())
	}
	u.tmux("send-keys", "Escape")
	u.closeSession()
	u.until("the previous settings", func() bool { return u.read() == original })
}
