//go:build e2e && linux

package e2e

import (
	"image"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
)

// inPanel starts a desktop with a panel, and Switchyard in it.
func inPanel(t *testing.T, panel lab.Panel) (*user, *lab.Desktop) {
	t.Helper()
	u := newUser(t)
	u.write(u.settings, "{}\n")
	d, err := lab.StartDesktopOf(u.ctx, u.home, panel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	u.tray(d.Environ)
	return u, d
}

// icon waits for the icon in a part of the screen, and for the models in its menu.
func (u *user) icon(d *lab.Desktop, screen image.Rectangle) (icon image.Rectangle) {
	u.Helper()
	u.until("the icon in the panel", func() (ok bool) { icon, ok = d.Icon(u.ctx); return ok && icon.In(screen) })
	if err := d.Bus.UseIcon(u.ctx); err != nil {
		u.Fatal(err)
	}
	u.until("the models in the menu", func() bool { return u.hasRow(d, "ai/tiny") })
	return icon
}

// Two panels: the icon, its text, the menu and a submenu; an open menu stays open while
// the State changes ten times a second; a panel that crashes gets its icon back.
func TestPanels(t *testing.T) {
	for name, panel := range map[string]lab.Panel{"xfce": lab.XFCE, "mate": lab.MATE} {
		t.Run(name, func(t *testing.T) {
			u, d := inPanel(t, panel)
			screen := image.Rectangle{Max: lab.Monitor}
			icon := u.icon(d, screen)
			if tip, err := d.Bus.Property("ToolTip"); err != nil || !strings.Contains(tip.String(), "Switchyard: Cloud") {
				t.Errorf("its text is %v, %v", tip, err)
			}
			u.openSubmenu(d, icon, "Model", "panel-"+name)

			// The submenu and the menu stay where they are.
			layouts := d.Bus.Signals("LayoutUpdated")
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for i := range 40 {
				<-tick.C
				text := "{}\n"
				if i%2 == 0 {
					text = "{"
				}
				u.write(u.settings, text)
				if _, open := d.Popup(u.ctx); !open {
					t.Fatalf("the menu was closed after %d changes", i)
				}
			}
			if n := d.Bus.Signals("LayoutUpdated") - layouts; n > 0 {
				t.Errorf("the menu was laid out again %d times", n)
			}
			u.picture(d, "panel-"+name+"-changed", screen)
			u.write(u.settings, "{}\n")

			if err := d.StopPanel(u.ctx); err != nil {
				t.Fatal(err)
			}
			if err := d.StartPanel(u.ctx); err != nil {
				t.Fatal(err)
			}
			u.clickRow(d, u.icon(d, screen), "Local", "")
			u.until("local settings", func() bool { return strings.Contains(u.read(), `"ANTHROPIC_BASE_URL"`) })
		})
	}
}

// On a screen of many pixels everything is drawn at twice its size.
func TestTwiceTheSize(t *testing.T) {
	for name, panel := range map[string]lab.Panel{"xfce": lab.XFCE.Twice(), "mate": lab.MATE.Twice()} {
		t.Run(name, func(t *testing.T) {
			u, d := inPanel(t, panel)
			screen := image.Rectangle{Max: lab.Monitor.Mul(2)}
			popup, at := u.openMenu(d, u.icon(d, screen), "Local")
			if err := d.Point(u.ctx, at); err != nil {
				t.Fatal(err)
			}
			u.picture(d, "twice-"+name, image.Rect(popup.Min.X-20, 0, screen.Max.X, popup.Max.Y+20))
			if err := d.ClickAt(u.ctx, at); err != nil {
				t.Fatal(err)
			}
			u.until("local settings", func() bool { return strings.Contains(u.read(), `"ANTHROPIC_BASE_URL"`) })
		})
	}
}

// A panel on the second of two monitors: the menu opens beside its icon; the icon goes
// with the panel when that monitor is unplugged.
func TestTwoMonitors(t *testing.T) {
	u, d := inPanel(t, lab.XFCE.OnTheSecond())
	first := image.Rectangle{Max: lab.Monitor}
	second := first.Add(image.Pt(lab.Monitor.X, 0))
	icon := u.icon(d, second)
	popup, at := u.openMenu(d, icon, "Local")
	if !popup.In(second) {
		t.Errorf("the menu is at %v, the icon at %v", popup, icon)
	}
	u.picture(d, "two-monitors", image.Rectangle{})
	if err := d.ClickAt(u.ctx, at); err != nil {
		t.Fatal(err)
	}
	u.until("local settings", func() bool { return strings.Contains(u.read(), `"ANTHROPIC_BASE_URL"`) })

	if err := d.Unplug(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.clickRow(d, u.icon(d, first), "Cloud", "")
	u.until("the settings as they were", func() bool { return u.read() == "{}\n" })
}
