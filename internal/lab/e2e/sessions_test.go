//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// folder makes a project's folder that every configuration trusts.
func (u *user) folder(name string, configs ...string) string {
	u.Helper()
	dir := filepath.Join(u.home, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		u.Fatal(err)
	}
	for _, file := range append([]string{filepath.Join(u.home, ".claude.json")}, configs...) {
		known := map[string]any{"hasCompletedOnboarding": true}
		if data, err := os.ReadFile(file); err == nil {
			if err := json.Unmarshal(data, &known); err != nil {
				u.Fatal(err)
			}
		}
		projects, _ := known["projects"].(map[string]any)
		if projects == nil {
			projects = map[string]any{}
		}
		projects[dir] = map[string]any{"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true}
		known["projects"] = projects
		data, err := json.Marshal(known)
		if err != nil {
			u.Fatal(err)
		}
		u.write(file, string(data))
	}
	return dir
}

// window opens a window of tmux with a program in it.
func (u *user) window(name, dir, command string) {
	u.Helper()
	verb := []string{"new-window"}
	if !strings.Contains(u.tmux("list-sessions"), "windows") {
		verb = []string{"new-session", "-x", "120", "-y", "45"}
	}
	u.tmux(append(verb, "-d", "-n", name, "-c", dir, "env DISABLE_AUTOUPDATER=1 "+command)...)
}

func (u *user) list(more ...string) (all []state.Session) {
	u.Helper()
	if err := json.Unmarshal([]byte(u.must(append([]string{"sessions", "--json"}, more...)...)), &all); err != nil {
		u.Fatal(err)
	}
	return all
}

// routes is the list in short: folder, kind, route and pin of each, sorted.
func (u *user) routes() string {
	u.Helper()
	var lines []string
	for _, s := range u.list() {
		line := fmt.Sprintf("%s %s %s", s.Name(), s.Kind, s.Route)
		if s.PinnedBy != "" {
			line += " " + s.PinnedBy
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// behind are the folders of the sessions that did not follow the last switch.
func (u *user) behind() string {
	u.Helper()
	var places []string
	for _, s := range u.list() {
		if s.Behind {
			places = append(places, s.Name())
		}
	}
	return strings.Join(places, " ")
}

// wantRoutes waits until the list is right, for two seconds after a change.
func (u *user) wantRoutes(what, want string) {
	u.Helper()
	begun := time.Now()
	limit := begun.Add(2 * time.Second)
	for {
		got := u.routes()
		if got == want {
			u.Logf("%s: right after %s", what, time.Since(begun).Round(10*time.Millisecond))
			return
		}
		if time.Now().After(limit) {
			u.Fatalf("%s: after 2 s\n%s\nwant\n%s", what, got, want)
		}
	}
}

// Five sessions in three folders and two configuration folders, one of them pinned by
// --settings, one by --model, one killed, and a claude -p, over two switches.
func TestEverySessionsRoute(t *testing.T) {
	u := newUser(t)
	work := filepath.Join(u.home, "work-claude")
	workJSON := filepath.Join(work, ".claude.json")
	shop, api, web := u.folder("shop", workJSON), u.folder("api", workJSON), u.folder("web", workJSON)
	u.write(filepath.Join(u.home, ".config", "switchyard", "config.toml"), fmt.Sprintf("targets = [%q]\n", work))
	u.write(filepath.Join(u.home, "pin.json"), `{"env":{"ANTHROPIC_BASE_URL":"https://company.invalid","ANTHROPIC_AUTH_TOKEN":"x"}}`)
	u.write(u.settings, "{}\n")
	bus := u.live()
	u.click(bus, "Local")
	u.Cleanup(func() { u.tmux("kill-server") })

	u.window("one", shop, u.claude+" --tools Bash")
	u.window("two", api, "CLAUDE_CONFIG_DIR="+work+" "+u.claude+" --tools Bash")
	u.window("three", web, u.claude+" --tools Bash --settings "+filepath.Join(u.home, "pin.json"))
	u.window("four", api, u.claude+" --tools Bash --model ai/other")
	u.window("five", shop, "CLAUDE_CONFIG_DIR="+work+" "+u.claude+" --tools Bash")
	u.until("five sessions", func() bool { return len(u.list()) == 5 })
	const local = `api interactive local
api interactive local --model
shop interactive local
shop interactive local
web interactive cloud --settings`
	u.wantRoutes("five sessions", local)
	u.until("the marks", func() bool { return u.behind() == "api web" })

	u.tmux("send-keys", "-t", "one", "-l", "hello there")
	u.until("the prompt", func() bool { return strings.Contains(u.tmux("capture-pane", "-p", "-t", "one"), "hello there") })
	u.tmux("send-keys", "-t", "one", "Enter")
	u.until("the answer", func() bool { return strings.Contains(u.tmux("capture-pane", "-p", "-t", "one"), gguf.Answer) })
	u.until("a session that was counted", func() bool {
		return slices.ContainsFunc(u.list(), func(s state.Session) bool {
			return s.Requests > 0 && s.InputTokens > 100 && s.OutputTokens > 0 && s.Model == "docker.io/ai/tiny:latest" && time.Since(s.LastSeen) < time.Minute && s.Status == "idle"
		})
	})

	printing := exec.CommandContext(u.ctx, u.claude, "-p", "[[slow 8s]] hello", "--tools", "Bash")
	printing.Env, printing.Dir = append(u.environ, "DISABLE_AUTOUPDATER=1"), web
	if err := printing.Start(); err != nil {
		t.Fatal(err)
	}
	u.until("claude -p", func() bool { return strings.Contains(u.routes(), "web print") })
	u.wantRoutes("claude -p", (local + "\nweb print local"))

	for _, s := range u.list() {
		if s.CWD == shop && s.Requests == 0 {
			if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	const four = `api interactive local
api interactive local --model
shop interactive local
web interactive cloud --settings`
	u.wantRoutes("a SIGKILL", (four + "\nweb print local"))
	if all := u.list("--all"); len(all) != 6 || !all[5].Stale {
		t.Errorf("with the killed one's record: %+v", all)
	}
	if err := printing.Wait(); err != nil {
		t.Error(err)
	}
	u.wantRoutes("the end of claude -p", four)
	if text := u.must("sessions"); !strings.Contains(text, "web did not follow the switch: its command line pins it (--settings)") {
		t.Errorf("it says\n%s", text)
	}
	u.until("the mark in the menu", func() bool { return u.hasRowOn(bus, "Sessions: 1 cloud, 3 local  ⚠") })
	u.until("the notification", func() bool { return strings.Contains(fmt.Sprint(bus.Notifications()), "Not every session followed") })

	u.must("cloud")
	u.wantRoutes("the switch to the cloud", `api interactive cloud
api interactive cloud --model
shop interactive cloud
web interactive cloud --settings`)
	u.until("the mark of the one that asks the cloud for a local model", func() bool { return u.behind() == "api" })
	u.must("local", "tiny")
	u.wantRoutes("the switch back", four)
	u.until("the marks", func() bool { return u.behind() == "api web" })
	told := func() int { return strings.Count(fmt.Sprint(bus.Notifications()), "Not every session followed") }
	u.until("one notification for each switch", func() bool { return told() >= 3 })
	if n := told(); n != 3 {
		t.Errorf("%d notifications about sessions for three switches: %v", n, bus.Notifications())
	}
}

// run starts "switchyard run" in a folder, and returns its end.
func (u *user) run(stdin string, args ...string) (code int, stdout, stderr string) {
	u.Helper()
	cmd := exec.CommandContext(u.ctx, u.program, append([]string{"run"}, args...)...)
	cmd.Env, cmd.Dir = append(u.environ, "DISABLE_AUTOUPDATER=1", "PATH="+filepath.Dir(u.claude)+":"+os.Getenv("PATH")), u.home
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		u.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), problems.String()
}

func (u *user) made(name string) bool {
	_, err := os.Stat(filepath.Join(u.home, name))
	return err == nil
}

// One session on the local model while the settings stay in the cloud.
func TestRun(t *testing.T) {
	u := newUser(t)
	const original = `{"env":{"ANTHROPIC_MODEL":"claude-opus-4-6"},"model":"claude-opus-4-6"}`
	u.write(u.settings, original)
	u.live()
	u.until("the gateway", func() bool { code, _ := u.switchyard("gateway"); return code == 0 })

	// Arguments, standard input and output, exit codes.
	if code, out, problems := u.run("", "--", "-p", `say "it's" $HOME  twice`, "--tools", "Bash", "--output-format", "stream-json", "--verbose"); code != 0 || !strings.Contains(out, `"type":"result"`) || !strings.Contains(out, gguf.Answer) {
		t.Errorf("stream-json: exit code %d\n%s\n%s", code, out, problems)
	}
	if code, out, problems := u.run("a prompt from a pipe", "--model", "tiny", "--", "-p", "--tools", "Bash"); code != 0 || !strings.Contains(out, gguf.Answer) {
		t.Errorf("stdin: exit code %d\n%s\n%s", code, out, problems)
	}
	if code, _, problems := u.run("", "--", "--no-such-flag"); code != 1 || !strings.Contains(problems, "no-such-flag") {
		t.Errorf("claude's own failure: exit code %d\n%s", code, problems)
	}
	if code, _, problems := u.run("", "-p", "hello"); code != 2 || !strings.Contains(problems, "arguments for claude go after --") {
		t.Errorf("without --: exit code %d\n%s", code, problems)
	}
	if code, _, problems := u.run("", "--model", "nonesuch", "--", "-p", "hello"); code != 3 || !strings.Contains(problems, "no model nonesuch") {
		t.Errorf("another model: exit code %d\n%s", code, problems)
	}
	for _, r := range u.requests() {
		if r.Model != "docker.io/ai/tiny:latest" || r.Status != 200 {
			t.Errorf("%+v", r)
		}
	}
	if n := len(u.requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}

	// The user's own --settings are kept, beside ours.
	u.write(filepath.Join(u.home, "own.json"), `{"permissions":{"allow":["Bash(touch:*)"]}}`)
	touch := []string{"--", "-p", `Call the tool Bash with {"command":"touch made"}`}
	if code, _, problems := u.run("", touch...); code != 0 || u.made("made") {
		t.Errorf("without permission: exit code %d\n%s", code, problems)
	}
	if code, _, problems := u.run("", append(touch, "--settings", "own.json")...); code != 0 || !u.made("made") {
		t.Errorf("own settings: exit code %d\n%s", code, problems)
	}

	// A session at a terminal; a second one waits for it, and a crash frees its place.
	path := "PATH=" + filepath.Dir(u.claude) + ":" + os.Getenv("PATH")
	u.Cleanup(func() { u.tmux("kill-server") })
	shop := u.folder("shop")
	u.window("shell", shop, path+" PS1='$ ' sh -i")
	u.until("the shell", func() bool { return strings.HasPrefix(u.screen(), "$") })
	u.tmux("send-keys", u.program+" run -- --tools Bash", "Enter")
	u.until("the session", func() bool { return u.routes() == "shop interactive local switchyard run" })
	if code, _, problems := u.run("", "--", "-p", "hello"); code != 3 || !strings.Contains(problems, "ai/tiny is in use by the session in shop (process ") || !strings.Contains(problems, "--wait") {
		t.Errorf("a second one: exit code %d\n%s", code, problems)
	}
	asking := func(answer, want string) {
		t.Helper()
		u.window("ask", shop, path+" sh -c 'trap : INT; "+u.program+" run -- -p hello; echo code $?; sleep 60'")
		screen := func() string { return u.tmux("capture-pane", "-p", "-t", "ask") }
		u.until("the question", func() bool { return strings.Contains(screen(), "Wait, share, or cancel?") })
		u.tmux("send-keys", "-t", "ask", answer)
		u.until("the answer's effect", func() bool { return strings.Contains(screen(), want) })
		u.tmux("kill-window", "-t", "ask")
	}
	asking("Enter", "code 3")
	asking("C-c", "code 3")
	if code, out, problems := u.run("", "--share", "--", "-p", "hello", "--tools", "Bash"); code != 0 || !strings.Contains(out, gguf.Answer) {
		t.Errorf("a second one that shares: exit code %d\n%s\n%s", code, out, problems)
	}
	type end struct {
		code          int
		out, problems string
	}
	ends := make(chan end)
	go func() {
		code, out, problems := u.run("", "--wait", "--", "-p", "hello", "--tools", "Bash")
		ends <- end{code, out, problems}
	}()
	u.until("the waiting one's number", func() bool {
		files, _ := filepath.Glob(filepath.Join(u.home, "run", "switchyard", "run", "[0-9]*.json"))
		return len(files) >= 3 // two places and one's settings
	})

	// Ctrl-Z gives the shell back, fg the session; its prompt is answered.
	u.until("claude's prompt", func() bool { return strings.Contains(u.screen(), "❯") })
	u.tmux("send-keys", "C-z")
	u.until("the shell again", func() bool { return strings.Contains(u.tmux("list-panes", "-F", "#{pane_current_command}"), "sh") })
	u.tmux("send-keys", "fg", "Enter")
	u.until("the session again", func() bool { return !strings.HasPrefix(u.tmux("list-panes", "-F", "#{pane_current_command}"), "sh") })
	u.say("a prompt at the terminal", func() bool { return strings.Contains(u.screen(), gguf.Answer) })

	// Switchyard ends: the session goes on, on the same address, until it ends itself.
	u.quit()
	u.say("a prompt after the end", func() bool { return strings.Count(u.screen(), gguf.Answer) >= 2 })
	if out := u.must("status"); !strings.Contains(out, "Gateway") {
		t.Errorf("nobody serves\n%s", out)
	}
	if u.read() != original {
		t.Errorf("the settings are now\n%s", u.read())
	}
	if err := syscall.Kill(u.list()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := <-ends; e.code != 0 || !strings.Contains(e.out, gguf.Answer) || !strings.Contains(e.problems, "waiting for ai/tiny: number 1 in the queue, behind the session in shop") {
		t.Errorf("the one that waited: exit code %d\n%s\n%s", e.code, e.out, e.problems)
	}
	u.until("the guard's end", func() bool { code, _ := u.switchyard("gateway"); return code == 3 })

	// Without Switchyard it asks Model Runner itself. Ctrl-C ends it as it ends claude.
	u.tmux("kill-server") // a killed claude leaves its terminal raw
	u.window("shell", shop, path+" LOCAL='ANTHROPIC_BASE_URL="+lookup(u.environ, "MODEL_RUNNER_HOST")+"/anthropic ANTHROPIC_AUTH_TOKEN=x ANTHROPIC_MODEL=ai/tiny' PS1='$ ' sh -i")
	u.until("the shell", func() bool { return strings.HasPrefix(u.screen(), "$") })
	u.write(u.settings, "{}")
	ending := regexp.MustCompile(`code \d+`) // before it claude says "Execution error", or nothing
	for i, how := range []string{u.program + " run --model tiny --", "env $LOCAL claude"} {
		u.tmux("send-keys", how+" -p '[[slow 60s]]' --tools Bash; echo code $?", "Enter")
		u.until("the session", func() bool { return strings.Contains(u.routes(), "shop print local") })
		u.tmux("send-keys", "C-c")
		u.until("its end", func() bool { return len(ending.FindAllString(u.screen(), -1)) > i })
	}
	if both := ending.FindAllString(u.screen(), -1); len(both) != 2 || both[0] != both[1] {
		t.Errorf("after Ctrl-C: %q, and claude itself %q", both[0], both[1])
	}

	// No claude, no runner.
	u.environ = append(u.environ, "PATH=/usr/bin:/bin")
	if code, out := u.switchyard("run"); code != 3 || !strings.Contains(out, "Claude Code (claude) was not found; install Claude Code") {
		t.Errorf("without claude: exit code %d\n%s", code, out)
	}
	u.runner.Stop()
	if code, _, problems := u.run("", "--", "-p", "hello"); code != 4 || !strings.Contains(problems, "Model Runner") {
		t.Errorf("without a runner: exit code %d\n%s", code, problems)
	}
}

// The other way round: the settings are local, one session is where the cloud was.
func TestRunInTheCloud(t *testing.T) {
	u := newUser(t)
	company := newGateway(t)
	u.write(u.settings, fmt.Sprintf(`{"env":{"ANTHROPIC_BASE_URL":%q,"ANTHROPIC_AUTH_TOKEN":"company-token"},"agent":""}`, company.url))
	u.live()
	u.must("local", "--lean")
	asked := u.asked.Load()
	code, out, problems := u.run("", "--cloud", "--", "-p", "hello", "--tools", "Bash")
	if code != 0 || !strings.Contains(out, gatewayWords) || u.asked.Load() != asked {
		t.Errorf("exit code %d, %d requests to the runner\n%s\n%s", code, u.asked.Load()-asked, out, problems)
	}
	if code, _, problems := u.run("", "--cloud", "--model", "x"); code != 2 || !strings.Contains(problems, "for local models") {
		t.Errorf("exit code %d\n%s", code, problems)
	}
	u.must("cloud")
}

// The lean profile: a fifth of the bytes at most, and a real task is done with it: a
// file is read, edited, and its test run.
func TestLean(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{\n  \"theme\": \"dark\"\n}\n")
	agents := filepath.Join(u.home, ".claude", "agents")
	u.write(filepath.Join(agents, "mine.md"), "---\nname: mine\n---\nMine.\n")
	bus := u.live()
	sizes := map[string]int64{}
	first := func(what string, args ...string) {
		t.Helper()
		before := len(u.requests())
		said, err := u.claudePrints(args...)
		turns := u.requests()
		if err != nil || !strings.Contains(said, gguf.Answer) || len(turns) <= before {
			t.Fatalf("%s: %q, %v", what, said, err)
		}
		sizes[what] = turns[before].Bytes
		t.Logf("%s: first request %d bytes, %d tokens", what, turns[before].Bytes, turns[before].InputTokens)
	}
	u.must("local", "tiny")
	first("plain", "-p", "hello")
	if code, out, problems := u.run("", "--lean", "--share", "--", "-p", "hello"); code != 0 || !strings.Contains(out, gguf.Answer) {
		t.Fatalf("run --lean: exit code %d\n%s\n%s", code, out, problems)
	}
	one := u.requests()
	sizes["run --lean"] = one[len(one)-1].Bytes
	if _, err := os.Stat(filepath.Join(agents, machine.LeanAgent+".md")); err == nil {
		t.Error("run --lean installed an agent file")
	}
	u.until("the click", func() bool { return bus.Click("Lean profile for new local sessions") == nil }) // the first look has no submenus
	u.until("the profile", func() bool { return strings.Contains(u.read(), machine.LeanAgent) })
	first("lean", "-p", "hello")
	for _, what := range []string{"lean", "run --lean"} {
		if sizes[what] > sizes["plain"]/5 {
			t.Errorf("%s: %d bytes of %d", what, sizes[what], sizes["plain"])
		}
	}
	if out := u.must("explain"); !strings.Contains(out, "agent = switchyard-lean") {
		t.Errorf("explain says\n%s", out)
	}

	u.write(filepath.Join(u.home, "sum.sh"), "echo $(($1 - $2))\n")
	u.write(filepath.Join(u.home, "test.sh"), "test \"$(sh sum.sh 2 3)\" = 5 && echo tests passed > result\n")
	steps := []string{
		fmt.Sprintf(`Call the tool Read with {"file_path":%q}`, filepath.Join(u.home, "sum.sh")),
		fmt.Sprintf(`Call the tool Edit with {"file_path":%q,"old_string":"$1 - $2","new_string":"$1 + $2"}`, filepath.Join(u.home, "sum.sh")),
		`Call the tool Bash with {"command":"sh test.sh"}`,
	}
	args := []string{"-p", steps[0], "--permission-mode", "acceptEdits", "--allowedTools", "Bash(sh test.sh)"}
	for i, step := range steps { // one session, as a person talks to it
		if args[1] = step; i == 1 {
			args = append(args, "--continue")
		}
		if said, err := u.claudePrints(args...); err != nil {
			t.Fatalf("%s: %q, %v", step, said, err)
		}
	}
	if data, _ := os.ReadFile(filepath.Join(u.home, "result")); string(data) != "tests passed\n" {
		script, _ := os.ReadFile(filepath.Join(u.home, "sum.sh"))
		t.Errorf("the task was not done: %q, %q", script, data)
	}

	u.until("the click", func() bool { return bus.Click("Lean profile for new local sessions") == nil }) // the first look has no submenus
	u.until("the profile's end", func() bool { return !strings.Contains(u.read(), machine.LeanAgent) })
	u.must("local", "tiny", "--lean")
	u.must("cloud")
	if u.read() != "{\n  \"theme\": \"dark\"\n}\n" {
		t.Errorf("the settings are now\n%s", u.read())
	}
	if files, _ := os.ReadDir(agents); len(files) != 1 || files[0].Name() != "mine.md" {
		t.Errorf("agents: %v", files)
	}
}

// claudePrints runs claude with all its tools.
func (u *user) claudePrints(args ...string) (string, error) {
	cmd := exec.CommandContext(u.ctx, u.claude, args...)
	cmd.Env, cmd.Dir = append(u.environ, "DISABLE_AUTOUPDATER=1"), u.home
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The Sessions row as a person sees it.
func TestTheSessionsMenu(t *testing.T) {
	u := newUser(t)
	desktop, err := lab.StartDesktop(u.ctx, u.home)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desktop.Close)
	shop, web := u.folder("shop"), u.folder("web")
	u.write(filepath.Join(u.home, "pin.json"), `{"env":{"ANTHROPIC_BASE_URL":"https://company.invalid","ANTHROPIC_AUTH_TOKEN":"x"}}`)
	u.write(u.settings, "{}\n")
	u.tray(desktop.Environ)
	var icon image.Rectangle
	u.until("the icon in the panel", func() (ok bool) { icon, ok = desktop.Icon(u.ctx); return ok })
	if err := desktop.Bus.UseIcon(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.Cleanup(func() { u.tmux("kill-server") })
	u.must("local", "tiny")
	u.window("one", shop, u.claude+" --tools Bash")
	u.window("two", web, u.claude+" --tools Bash --settings "+filepath.Join(u.home, "pin.json"))
	u.until("the sessions and the mark", func() bool { return u.hasRow(desktop, "Sessions: 1 cloud, 1 local  ⚠") })
	u.until("the notification", func() bool { return desktop.HasWindow(u.ctx, "xfce4-notifyd", 150) })
	u.until("its end", func() bool { return !desktop.HasWindow(u.ctx, "xfce4-notifyd", 150) })
	u.openSubmenu(desktop, icon, "Sessions:", "menu-sessions")
	for _, row := range []string{"shop · local · ai/tiny", "⚠ web · cloud", "    its command line pins it (--settings)", "    → end it, and start it without --settings"} {
		if !u.hasRow(desktop, row) {
			t.Errorf("no row %q", row)
		}
	}
}
