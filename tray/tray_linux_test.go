package tray

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// desk is a scratch home with a bus, a real runner and the real program as a process.
type desk struct {
	*testing.T
	bus      *lab.Bus
	runner   *lab.Runner
	home     string
	settings string
	environ  []string
	program  string
	ended    chan struct{} // closed when the tray has ended
}

func newDesk(t *testing.T, doubles bool) *desk {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{T: t, home: t.TempDir()}
	if d.program, err = lab.Switchyard(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	if d.runner, err = lab.StartRunner(t.Context(), parts, store); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.runner.Stop)
	if err := d.runner.Add(t.Context(), "ai/tiny", gguf.Model{}); err != nil {
		t.Fatal(err)
	}
	busDir, err := os.MkdirTemp("", "bus") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(busDir) })
	if d.bus, err = lab.StartBus(busDir, lab.Environ(d.home, ""), doubles); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.bus.Close)
	d.settings = filepath.Join(d.home, ".claude", "settings.json")
	d.environ = append(lab.Environ(d.home, d.bus.Address), "MODEL_RUNNER_HOST="+d.runner.URL)
	if err := errors.Join(os.MkdirAll(filepath.Dir(d.settings), 0o755), os.MkdirAll(filepath.Join(d.home, "run"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts the tray; what it says at the terminal goes to a file.
func (d *desk) start() {
	d.Helper()
	said, err := os.Create(filepath.Join(d.home, "said"))
	if err != nil {
		d.Fatal(err)
	}
	app := exec.Command(d.program)
	app.Env, app.Dir = d.environ, d.home
	app.Stderr = said
	if err := app.Start(); err != nil {
		d.Fatal(err)
	}
	d.ended = make(chan struct{})
	go func() {
		_ = app.Wait()
		close(d.ended)
	}()
	d.Cleanup(func() {
		_ = app.Process.Signal(os.Interrupt)
		select {
		case <-d.ended:
		case <-time.After(10 * time.Second):
			d.Error("the tray did not end; what it was doing is in what it said")
			_ = app.Process.Signal(syscall.SIGQUIT)
			<-d.ended
		}
		_ = said.Close()
		for report := range strings.SplitSeq(d.said(), "==================") {
			// The tray library races with itself when a menu is first asked for.
			if strings.Contains(report, "DATA RACE") && strings.Contains(report, "switchyard/") {
				d.Error("a data race: " + report)
			}
		}
		if d.Failed() {
			log, _ := os.ReadFile(filepath.Join(d.home, ".local", "state", "switchyard", "switchyard.log"))
			d.Logf("said %s\nlog %s", d.said(), log)
		}
	})
}

func (d *desk) said() string {
	data, _ := os.ReadFile(filepath.Join(d.home, "said"))
	return string(data)
}

func (d *desk) until(what string, condition func() bool) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 20*time.Second)
	defer cancel()
	if err := d.bus.Until(ctx, what, condition); err != nil {
		menu, _ := d.bus.Menu()
		d.Fatalf("%v\nmenu %+v\nnotifications %+v", err, menu, d.bus.Notifications())
	}
}

func (d *desk) row(label string) (lab.Row, bool) {
	menu, err := d.bus.Menu()
	if err != nil {
		return lab.Row{}, false
	}
	return lab.Find(menu, label)
}

func (d *desk) untilRow(label string, check func(lab.Row) bool) {
	d.Helper()
	d.until("the row "+label, func() bool {
		r, ok := d.row(label)
		return ok && check(r)
	})
}

func (d *desk) click(label string) {
	d.Helper()
	// Rows are drawn one after the other.
	d.until("a click on "+label, func() bool { return d.bus.Click(label) == nil })
}

func ticked(r lab.Row) bool { return r.Ticked }
func there(lab.Row) bool    { return true }

func (d *desk) write(text string) {
	d.Helper()
	if err := os.WriteFile(d.settings, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) read() string {
	data, _ := os.ReadFile(d.settings)
	return string(data)
}

// baseURL is where the settings send requests to.
func (d *desk) baseURL() string {
	var file struct{ Env map[string]string }
	_ = json.Unmarshal([]byte(d.read()), &file)
	return file.Env["ANTHROPIC_BASE_URL"]
}

func TestOneClickMovesClaudeCodeAndBack(t *testing.T) {
	d := newDesk(t, true)
	const original = "{\n\t\"theme\": \"dark\"\n}"
	d.write(original)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("Cloud", ticked)
	d.untilRow("ai/tiny", ticked)
	d.untilRow("Model Runner: running", there)

	d.click("Local")
	d.untilRow("Local", ticked)
	gateway := d.baseURL()
	if !strings.HasPrefix(gateway, "http://127.0.0.1:") || gateway == d.runner.URL {
		t.Errorf("the menu says local, the file says\n%s", d.read())
	}
	d.untilRow("● Local · ai/tiny · 256K", there)
	d.untilRow("Back to cloud, then quit", there)
	if r, _ := d.row("Cloud"); r.Ticked {
		t.Error("two routes are marked")
	}

	d.write(strings.Replace(d.read(), gateway, "https://elsewhere.example", 1))
	d.until("a notification about the drift", func() bool {
		told := d.bus.Notifications()
		return len(told) == 1 && strings.Contains(told[0].Title, "changed") && strings.Contains(told[0].Text, "ANTHROPIC_BASE_URL")
	})
	d.click("Local")
	d.untilRow("● Local", there)

	d.click("Cloud")
	d.untilRow("Cloud", ticked)
	want := strings.Replace(original, "\n}", ",\n\t\"env\": {\n\t\t\"ANTHROPIC_BASE_URL\": \"https://elsewhere.example\"\n\t}\n}", 1)
	if got := d.read(); got != want {
		t.Errorf("after cloud\n%s\nwant the stranger's change, and nothing else\n%s", got, want)
	}
}

func TestTheMenuFollowsTheCommandLine(t *testing.T) {
	d := newDesk(t, true)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("Cloud", ticked)
	for _, route := range []string{"local", "offline", "cloud"} {
		args := []string{route}
		if route == "cloud" {
			args = append(args, "--yes") // from offline
		}
		cmd := exec.Command(d.program, args...)
		cmd.Env, cmd.Dir = d.environ, d.home
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", route, err, out)
		}
		d.untilRow(strings.ToUpper(route[:1])+route[1:], ticked)
	}
	if _, err := os.Stat(d.settings); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there was no file before: %v", err)
	}
}

func TestTheModelIsChosenInTheMenu(t *testing.T) {
	d := newDesk(t, true)
	if err := d.runner.Add(t.Context(), "ai/other", gguf.Model{Context: 65536}); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("ai/other", there)
	d.click("Local")
	d.until("being told to choose", func() bool {
		told := d.bus.Notifications()
		return len(told) == 1 && strings.Contains(told[0].Text, "choose one: ")
	})
	d.click("ai/other")
	d.untilRow("ai/other", ticked)
	d.click("Local")
	d.untilRow("● Local · ai/other · 64K", there)
	d.click("ai/tiny") // while local it takes effect at once
	d.untilRow("● Local · ai/tiny · 256K", there)
	if !strings.Contains(d.read(), "docker.io/ai/tiny:latest") || strings.Contains(d.read(), "ai/other") {
		t.Errorf("the file says\n%s", d.read())
	}
}

// A session that fills its context is announced once.
func TestAFullContextIsTold(t *testing.T) {
	d := newDesk(t, true)
	if err := d.runner.Add(t.Context(), "ai/small", gguf.Model{Context: 32768}); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("ai/small", there)
	d.click("ai/small")
	d.untilRow("ai/small", ticked)
	d.click("Local")
	d.untilRow("● Local · ai/small · 32K", there)
	var file struct{ Env map[string]string }
	if err := json.Unmarshal([]byte(d.read()), &file); err != nil {
		t.Fatal(err)
	}
	say := func(words int) {
		body := `{"model":"opus","max_tokens":9,"tools":[{"name":"x","input_schema":{}}],"messages":[{"role":"user","content":"` + strings.Repeat("word ", words) + `"}]}`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, file.Env["ANTHROPIC_BASE_URL"]+"/v1/messages", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+file.Env["ANTHROPIC_AUTH_TOKEN"])
		req.Header.Set("X-Claude-Code-Session-Id", "s1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, answer)
		}
	}
	told := func() (n int) {
		for _, n1 := range d.bus.Notifications() {
			if strings.Contains(n1.Title, "context is nearly full") && strings.Contains(n1.Text, "of its 32K tokens") {
				n++
			}
		}
		return n
	}
	perToken := 4 // bytes, as the double counts; the tiny model takes each for a token
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		perToken = 1
	}
	percent := func(n int) int { return 32768 * n / 100 * perToken / len("word ") }
	say(percent(40))
	say(percent(90))
	d.until("the notification", func() bool { return told() == 1 })
	say(percent(92))
	d.click("Cloud")
	d.untilRow("Cloud", ticked)
	if told() != 1 {
		t.Errorf("told %d times", told())
	}
}

func TestNotificationsCanBeTurnedOff(t *testing.T) {
	d := newDesk(t, true)
	d.environ = append(d.environ, "SWITCHYARD_NOTIFICATIONS=false")
	d.write("{")
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("⚠ ~/.claude/settings.json", there)
	d.click("Quit")
	<-d.ended
	if told := d.bus.Notifications(); len(told) > 0 {
		t.Errorf("told %+v", told)
	}
}

func TestAHungNotificationDaemonStopsNothing(t *testing.T) {
	d := newDesk(t, true)
	d.bus.Hang()
	d.write("{")
	d.start()
	d.until("the icon", d.bus.Registered)
	d.until("a notification that hangs", func() bool { return len(d.bus.Notifications()) == 1 })
	d.write("{}")
	d.untilRow("● Cloud", there)
	d.click("Local")
	d.untilRow("● Local", there)
	d.click("Back to cloud, then quit")
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
	if d.read() != "{}" {
		t.Errorf("left %s", d.read())
	}
}

func TestAFailedSwitchIsTold(t *testing.T) {
	d := newDesk(t, true)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.runner.Stop()
	d.click("Local")
	d.until("a notification", func() bool {
		told := d.bus.Notifications()
		return len(told) == 1 && told[0].App == "Switchyard" && strings.Contains(told[0].Title, "Could not switch to local") &&
			strings.Contains(told[0].Text, d.runner.URL)
	})
	if _, err := os.Stat(d.settings); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed switch left a file: %v", err)
	}
}

func TestQuitRowsDoWhatTheySay(t *testing.T) {
	for _, label := range []string{"Back to cloud, then quit", "Quit and stay local"} {
		d := newDesk(t, true)
		d.write("{}")
		d.start()
		d.until("the icon", d.bus.Registered)
		d.click("Local")
		d.untilRow("Local", ticked)
		d.click(label)
		select {
		case <-d.ended:
		case <-time.After(20 * time.Second):
			t.Fatal("it did not end")
		}
		if local := d.baseURL() == d.runner.URL+"/anthropic"; local != strings.Contains(label, "stay") {
			t.Errorf("%s: the file is\n%s", label, d.read())
		}
	}
}

// An unchanged State draws nothing: an open menu must not flicker.
func TestNothingIsDrawnTwice(t *testing.T) {
	d := newDesk(t, true)
	d.write("{}")
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("Model Runner: running", there)
	d.untilRow("ai/tiny", ticked)
	before := d.bus.Signals("LayoutUpdated") + d.bus.Signals("ItemsPropertiesUpdated")
	for range 20 {
		d.write("{}")
	}
	d.write(`{"env":{"ANTHROPIC_BASE_URL":"` + d.runner.URL + `/anthropic"}}`) // one visible change, to know when all were seen
	d.untilRow("Local", ticked)
	if n := d.bus.Signals("LayoutUpdated") + d.bus.Signals("ItemsPropertiesUpdated") - before; n > 30 {
		t.Errorf("%d signals for one change", n)
	}
}

func TestWithoutADesktopItSaysSo(t *testing.T) {
	d := newDesk(t, true)
	var environ []string
	for _, e := range d.environ {
		if !strings.HasPrefix(e, "DBUS_") {
			environ = append(environ, e)
		}
	}
	d.environ = environ
	cmd := exec.CommandContext(t.Context(), d.program)
	cmd.Env, cmd.Dir = d.environ, d.home
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1024)
	n, _ := stderr.Read(buffer)
	if said := string(buffer[:n]); !strings.Contains(said, "no desktop session") {
		t.Errorf("it said %q", said)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ended with %v", err)
	}
}

func TestWithoutAHostTheIconComesLater(t *testing.T) {
	d := newDesk(t, false)
	d.start()
	d.until("the word about it", func() bool { return strings.Contains(d.said(), "AppIndicator") })
	if err := d.bus.TakeNames(); err != nil {
		t.Fatal(err)
	}
	d.until("the icon", d.bus.Registered)
}

// The library registers once with each host that it sees.
func TestALostRegistrationIsRepeated(t *testing.T) {
	d := newDesk(t, true)
	d.bus.Lose()
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("Cloud", ticked)
}

// A model that came is told, whoever pulled it.
func TestAModelThatCameIsTold(t *testing.T) {
	d := newDesk(t, true)
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	registry, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/mine": {Size: 20 << 20}, "ai/theirs": {Size: 30 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("Model Runner: running", there)
	run := func(environ []string, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Dir = environ, d.home
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	told := func(name string) bool {
		for _, n := range d.bus.Notifications() {
			if n.Title == "Model ready" && strings.HasPrefix(n.Text, name+" · ") && strings.HasSuffix(n.Text, "MiB · context 256K\n→ choose it in the menu: Model") {
				return true
			}
		}
		return false
	}
	run(d.environ, d.program, "pull", registry+"/ai/mine")
	ended := time.Now()
	d.until("the notification of our own pull", func() bool { return told(registry + "/ai/mine") })
	t.Logf("our own pull is told %d ms after the command ended", time.Since(ended).Milliseconds())
	d.untilRow(registry+"/ai/mine", there)
	run([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.home, "MODEL_RUNNER_HOST=" + d.runner.URL, "MODEL_RUNNER_NO_AUTO_INSTALL=1"}, parts.DockerModel, "pull", registry+"/ai/theirs")
	ended = time.Now()
	d.until("the notification of docker model pull", func() bool { return told(registry + "/ai/theirs") })
	if took := time.Since(ended); took > 5*time.Second {
		t.Errorf("told after %s", took)
	} else {
		t.Logf("docker model pull is told %d ms after it ended", took.Milliseconds())
	}
	if n := len(d.bus.Notifications()); n != 2 {
		t.Errorf("%d notifications: %+v", n, d.bus.Notifications())
	}
}

// The GPU's memory is in the menu, and the models say whether they fit.
func TestTheGPUOnTheDesktop(t *testing.T) {
	d := newDesk(t, true)
	root := filepath.Join(d.home, "gpu")
	dir := filepath.Join(root, "sys/bus/pci/devices/0000:03:00.0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	used := func(gib string) {
		t.Helper()
		for file, text := range map[string]string{"class": "0x030000", "vendor": "0x1002", "mem_info_vram_total": "25769803776", "mem_info_vram_used": gib} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	used("19327352832")
	d.environ = append(d.environ, "SWITCHYARD_GPU_ROOT="+root)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.untilRow("ai/tiny · 149.2 KiB · 256K · fits", there)
	d.untilRow("GPU 18.0 / 24 GiB", there)
	d.click("Local")
	d.untilRow("● Local", there)
	// An episode: it becomes short, shorter, and is well again. Whoever opens the menu has it read.
	open := func() {
		if err := d.bus.Open(); err != nil {
			t.Error(err)
		}
	}
	d.untilRow("ai/tiny · 149.2 KiB · 256K · loaded", there)
	used("24159191040") // 1.5 GiB are left
	told := func(n int, title string) func() bool {
		return func() bool {
			open()
			all := d.bus.Notifications()
			return len(all) == n && all[n-1].Title == title
		}
	}
	d.until("the warning", told(1, "GPU memory is low"))
	if text := d.bus.Notifications()[0].Text; !strings.Contains(text, "1.5 GiB of 24.0 GiB is free") || !strings.Contains(text, "other programs hold about 21.") {
		t.Errorf("%q", text)
	}
	d.untilRow("⚠ the GPU is running out of memory", there)
	used("25500000000")
	d.until("the second warning", told(2, "GPU memory is full"))
	used("19327352832")
	d.until("the end of it", func() bool { open(); _, short := d.row("⚠"); return !short })
	used("18253611008")
	d.until("a reading after it", func() bool { open(); _, ok := d.row("GPU 17.0 / 24 GiB"); return ok })
	if all := d.bus.Notifications(); len(all) != 2 {
		t.Errorf("told %+v", all)
	}
}
