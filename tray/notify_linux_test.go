package tray

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab"
)

// A notification's button does what it says; the same news again takes its place.
func TestAButtonOfANotification(t *testing.T) {
	d := newDesk(t, true)
	d.write("{}\n")
	d.start()
	d.until("the icon", d.bus.Registered)
	d.click("Local")
	d.untilRow("● Local", there)
	told := func(title string) (all []lab.Notification) {
		for _, n := range d.bus.Notifications() {
			if n.Title == title {
				all = append(all, n)
			}
		}
		return all
	}
	text := d.read()
	const window = `"CLAUDE_CODE_AUTO_COMPACT_WINDOW": "`
	d.write(strings.Replace(text, window, window+"1", 1))
	d.until("the drift", func() bool { return len(told("Settings were changed")) == 1 })
	d.write(strings.Replace(strings.Replace(text, window, window+"1", 1), `"ENABLE_TOOL_SEARCH": "false"`, `"ENABLE_TOOL_SEARCH": "true"`, 1))
	d.until("more of it", func() bool { return len(told("Settings were changed")) == 2 })
	all := told("Settings were changed")
	if all[0].ID != all[1].ID {
		t.Errorf("stacked: %+v", all)
	}
	if err := d.bus.Press(all[1], "Back to cloud"); err != nil {
		t.Fatal(err)
	}
	d.untilRow("Cloud", ticked)
}

// Without anybody to show it, the menu's first lines say it, until something is clicked.
func TestWithoutANotificationDaemon(t *testing.T) {
	d := newDesk(t, true)
	if err := d.bus.Silence(); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.until("the icon", d.bus.Registered)
	d.runner.Stop()
	d.click("Local")
	d.untilRow("⚠ Could not switch to local", there)
	d.click("Start at login")
	d.until("the line's end", func() bool { _, ok := d.row("⚠ Could not switch to local"); return !ok })
}

// One kind can be switched off.
func TestAKindOfNotificationsIsSwitchedOff(t *testing.T) {
	d := newDesk(t, true)
	d.environ = append(d.environ, "SWITCHYARD_QUIET=failures,pulls")
	d.start()
	d.until("the icon", d.bus.Registered)
	d.runner.Stop()
	d.click("Local")
	d.until("the failure in the log", func() bool {
		log, _ := os.ReadFile(filepath.Join(d.home, ".local", "state", "switchyard", "switchyard.log"))
		return strings.Contains(string(log), "Could not switch to local")
	})
	d.write("{")
	d.until("another kind", func() bool { return len(d.bus.Notifications()) == 1 })
	if n := d.bus.Notifications()[0]; n.Title != "Settings are ignored" {
		t.Errorf("told %+v", n)
	}
}

// A second start shows that the first one runs, and ends well.
func TestASecondStart(t *testing.T) {
	d := newDesk(t, true)
	d.start()
	d.until("the icon", d.bus.Registered)
	second := exec.CommandContext(t.Context(), d.program)
	second.Env, second.Dir = d.environ, d.home
	if out, err := second.CombinedOutput(); err != nil || !strings.Contains(string(out), "already running") {
		t.Errorf("%v, it said %s", err, out)
	}
	d.until("its notification", func() bool {
		told := d.bus.Notifications()
		return len(told) == 1 && told[0].Title == "Switchyard is already running"
	})
}

// Start at login is what the system's record says.
func TestStartAtLogin(t *testing.T) {
	d := newDesk(t, true)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.until("the click", func() bool { return d.bus.Click("Start at login") == nil }) // the first look has no submenus
	d.untilRow("Start at login", ticked)
	record := filepath.Join(d.home, ".config", "autostart", "dev.switchyard.Switchyard.desktop")
	if data, err := os.ReadFile(record); err != nil || !strings.Contains(string(data), `Exec="/`) {
		t.Errorf("%s, %v", data, err)
	}
	d.click("Start at login")
	d.untilRow("Start at login", func(r lab.Row) bool { return !r.Ticked })
	if _, err := os.Stat(record); err == nil {
		t.Error("it is still there")
	}
}

// Another session bus: the icon comes back on it, and what was local stays so.
func TestAnotherSessionBus(t *testing.T) {
	d := newDesk(t, true)
	d.start()
	d.until("the icon", d.bus.Registered)
	d.click("Local")
	d.untilRow("● Local", there)
	if err := d.bus.Restart(d.environ); err != nil {
		t.Fatal(err)
	}
	d.until("the icon on the new bus", d.bus.Registered)
	d.untilRow("● Local", there)
	d.until("its gateway", func() bool { return d.baseURL() != "" && d.baseURL() != d.runner.URL+"/anthropic" })
}
