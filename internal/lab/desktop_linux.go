package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Panel is a desktop's panel with a tray.
type Panel struct {
	desktop string   // its name, as XDG_CURRENT_DESKTOP has it
	command []string // starts it
	plugin  string   // the program whose windows are the tray and its menus
	button  string   // of the mouse: opens the menu
	scale   int      // of what is drawn, and of the screen
	second  bool     // it is on the second of two monitors, until that is unplugged
}

// The panels that Debian has: of Xfce and of MATE, the latter in its own layout.
var (
	XFCE = Panel{desktop: "XFCE", command: []string{"xfce4-panel", "--disable-wm-check"}, plugin: "wrapper-2.0", button: "1", scale: 1}
	MATE = Panel{desktop: "MATE", command: []string{"mate-panel"}, plugin: "notification-area-applet", button: "3", scale: 1}
)

// Twice is the panel on a screen of twice the pixels, and everything drawn at twice its size.
func (p Panel) Twice() Panel {
	p.scale = 2
	return p
}

// OnTheSecond is the panel on the second of two monitors, the one on the right. Xvfb
// has only one.
func (p Panel) OnTheSecond() Panel {
	p.second = true
	return p
}

// Monitor is the size of a monitor, in pixels.
var Monitor = image.Pt(800, 480)

// Desktop is a real one: an X server, a panel with a tray, a notification daemon.
type Desktop struct {
	Panel
	Bus     *Bus
	Display string // such as ":7"
	Environ []string

	stops     []func() // in the order of their start
	panelStop func()
}

// StartDesktop starts a desktop with its settings in home.
func StartDesktop(ctx context.Context, home string) (*Desktop, error) {
	return StartDesktopOf(ctx, home, XFCE)
}

// StartDesktopOf starts one with a certain panel.
func StartDesktopOf(ctx context.Context, home string, panel Panel) (_ *Desktop, err error) {
	if err := writePanel(home); err != nil {
		return nil, err
	}
	command, err := xServer(home, Monitor.Mul(panel.scale), panel.second)
	if err != nil {
		return nil, err
	}
	display, stop, err := startX(command)
	if err != nil {
		return nil, err
	}
	d := &Desktop{Panel: panel, Display: display, stops: []func(){stop}}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	environ := append(Environ(home, ""), "DISPLAY="+display, "XDG_CURRENT_DESKTOP="+panel.desktop, "GSETTINGS_BACKEND=keyfile", "GDK_BACKEND=x11", "NO_AT_BRIDGE=1",
		"GDK_SCALE="+strconv.Itoa(panel.scale))
	bus, err := StartBus(filepath.Join(home, "run"), environ, false)
	if err != nil {
		return nil, err
	}
	d.Bus, d.Environ = bus, append(environ, "DBUS_SESSION_BUS_ADDRESS="+bus.Address)
	d.stops = append(d.stops, bus.Close)
	for _, command := range [][]string{
		{"xsetroot", "-solid", "#34506b"},
		{"/usr/lib/x86_64-linux-gnu/xfce4/notifyd/xfce4-notifyd"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = d.Environ
		stop, err := start(cmd)
		if err != nil {
			return nil, err
		}
		d.stops = append(d.stops, stop)
	}
	return d, d.StartPanel(ctx)
}

const watcherName = "org.kde.StatusNotifierWatcher"

// StartPanel starts the panel, again after StopPanel.
func (d *Desktop) StartPanel(ctx context.Context) error {
	cmd := exec.Command(d.command[0], d.command[1:]...)
	cmd.Env = d.Environ
	stop, err := start(cmd)
	if err != nil {
		return err
	}
	d.panelStop = stop
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return d.Bus.Until(wait, "the panel", func() bool { return d.Bus.HasName(watcherName) })
}

// StopPanel ends the panel as a crash would, and waits until the tray is gone.
func (d *Desktop) StopPanel(ctx context.Context) error {
	d.panelStop()
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return d.Bus.Until(wait, "the end of the panel", func() bool { return !d.Bus.HasName(watcherName) })
}

// Close ends the desktop, what started last first.
func (d *Desktop) Close() {
	if d.panelStop != nil {
		d.panelStop()
	}
	for _, stop := range slices.Backward(d.stops) {
		stop()
	}
}

// xServer is the command of an X server: Xvfb, or, for two monitors, Xorg without any
// hardware.
func xServer(home string, monitor image.Point, two bool) ([]string, error) {
	if !two {
		return []string{"Xvfb", "-screen", "0", fmt.Sprintf("%dx%dx24", monitor.X, monitor.Y)}, nil
	}
	config := filepath.Join(home, "xorg.conf")
	screen := fmt.Sprintf(`HorizSync 5-1000
VertRefresh 5-200
Modeline "%[1]dx%[2]d" 29.5 %[1]d %[3]d %[4]d %[5]d %[2]d %[6]d %[7]d %[8]d
`, monitor.X, monitor.Y, monitor.X+24, monitor.X+96, monitor.X+192, monitor.Y+3, monitor.Y+13, monitor.Y+20)
	text := fmt.Sprintf(`Section "ServerFlags"
Option "AutoAddDevices" "false"
Option "AutoAddGPU" "false"
EndSection
Section "Device"
Identifier "none"
Driver "dummy"
Option "Monitor-DUMMY0" "left"
Option "Monitor-DUMMY1" "right"
EndSection
Section "Monitor"
Identifier "left"
%[1]sEndSection
Section "Monitor"
Identifier "right"
%[1]sOption "Enable" "true"
Option "Primary" "true"
Option "RightOf" "DUMMY0"
EndSection
Section "Screen"
Identifier "screen"
Device "none"
Monitor "left"
DefaultDepth 24
SubSection "Display"
Modes "%[2]dx%[3]d"
Virtual %[4]d %[3]d
EndSubSection
EndSection
`, screen, monitor.X, monitor.Y, 2*monitor.X)
	return []string{"Xorg", "-config", config, "-logfile", filepath.Join(home, "xorg.log"), "-novtswitch", "-sharevts"}, os.WriteFile(config, []byte(text), 0o600)
}

// Unplug takes the second monitor away; the first becomes the primary one, as a
// desktop's settings daemon has it.
func (d *Desktop) Unplug(ctx context.Context) error {
	_, err := d.run(ctx, "xrandr", "--output", "DUMMY1", "--off", "--output", "DUMMY0", "--primary")
	return err
}

func startX(command []string) (display string, stop func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer read.Close()
	cmd := exec.Command(command[0], append(command[1:], "-displayfd", "3", "-nolisten", "tcp", "-noreset")...)
	cmd.ExtraFiles = []*os.File{write}
	stop, err = start(cmd)
	_ = write.Close()
	if err != nil {
		return "", nil, err
	}
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the X server did not start: %w", err)
	}
	return ":" + strings.TrimSpace(number), stop, nil
}

// writePanel gives the panel a tray and a clock, and the toolkit a theme that Debian has.
func writePanel(home string) error {
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	config := filepath.Join(home, ".config")
	channels := filepath.Join(config, "xfce4", "xfconf", "xfce-perchannel-xml")
	for path, text := range map[string]string{
		filepath.Join(channels, "xfce4-panel.xml"): head + `<channel name="xfce4-panel" version="1.0">
<property name="configver" type="int" value="2"/>
<property name="panels" type="array"><value type="int" value="1"/><property name="dark-mode" type="bool" value="true"/>
<property name="panel-1" type="empty">
<property name="position" type="string" value="p=6;x=0;y=0"/><property name="position-locked" type="bool" value="true"/>
<property name="output-name" type="string" value="Primary"/>
<property name="length" type="uint" value="100"/><property name="size" type="uint" value="32"/><property name="icon-size" type="uint" value="24"/>
<property name="plugin-ids" type="array"><value type="int" value="1"/><value type="int" value="2"/><value type="int" value="3"/></property>
</property></property>
<property name="plugins" type="empty">
<property name="plugin-1" type="string" value="separator"><property name="expand" type="bool" value="true"/><property name="style" type="uint" value="0"/></property>
<property name="plugin-2" type="string" value="systray"><property name="square-icons" type="bool" value="true"/><property name="menu-is-primary" type="bool" value="true"/></property>
<property name="plugin-3" type="string" value="clock"/>
</property></channel>`,
		filepath.Join(channels, "xsettings.xml"): head + `<channel name="xsettings" version="1.0"><property name="Net" type="empty">
<property name="ThemeName" type="string" value="Adwaita"/><property name="IconThemeName" type="string" value="Adwaita"/></property></channel>`,
		filepath.Join(config, "gtk-3.0", "settings.ini"): "[Settings]\ngtk-theme-name=Adwaita\ngtk-icon-theme-name=Adwaita\ngtk-enable-animations=0\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(home, "run"), 0o700)
}

func (d *Desktop) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = d.Environ
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return string(out), nil
}

// Point moves the mouse there.
func (d *Desktop) Point(ctx context.Context, p image.Point) error {
	_, err := d.run(ctx, "xdotool", "mousemove", strconv.Itoa(p.X), strconv.Itoa(p.Y))
	return err
}

// ClickAt moves the mouse there and presses its first button.
func (d *Desktop) ClickAt(ctx context.Context, p image.Point) error {
	return d.clickWith(ctx, p, "1")
}

// ClickIcon opens the icon's menu.
func (d *Desktop) ClickIcon(ctx context.Context, icon image.Rectangle) error {
	return d.clickWith(ctx, image.Pt((icon.Min.X+icon.Max.X)/2, (icon.Min.Y+icon.Max.Y)/2), d.button)
}

func (d *Desktop) clickWith(ctx context.Context, p image.Point, button string) error {
	_, err := d.run(ctx, "xdotool", "mousemove", strconv.Itoa(p.X), strconv.Itoa(p.Y), "click", button)
	return err
}

// Submenu finds the open submenu, beside the menu at popup.
func (d *Desktop) Submenu(ctx context.Context, popup image.Rectangle) (image.Rectangle, bool) {
	for _, w := range d.windows(ctx, d.plugin) {
		if w.Dx() > 60 && w.Dy() > 40 && w != popup {
			return w, true
		}
	}
	return image.Rectangle{}, false
}

// windows lists where a program's visible windows are.
func (d *Desktop) windows(ctx context.Context, program string) []image.Rectangle {
	ids, err := d.run(ctx, "xdotool", "search", "--onlyvisible", "--name", "^"+regexp.QuoteMeta(program)+"$")
	if err != nil {
		return nil // xdotool fails when it finds none
	}
	var out []image.Rectangle
	for id := range strings.FieldsSeq(ids) {
		text, err := d.run(ctx, "xdotool", "getwindowgeometry", "--shell", id)
		if err != nil {
			continue // gone meanwhile
		}
		n := map[string]int{}
		for line := range strings.FieldsSeq(text) {
			name, value, _ := strings.Cut(line, "=")
			n[name], _ = strconv.Atoi(value)
		}
		out = append(out, image.Rect(n["X"], n["Y"], n["X"]+n["WIDTH"], n["Y"]+n["HEIGHT"]))
	}
	return out
}

// Icon finds the tray's first icon: the plugin's window within the panel.
func (d *Desktop) Icon(ctx context.Context) (image.Rectangle, bool) {
	least := 20 * d.scale // an empty tray is smaller
	for _, w := range d.windows(ctx, d.plugin) {
		if w.Min.Y == 0 && w.Dx() > least && w.Dy() > least {
			return w, true
		}
	}
	return image.Rectangle{}, false
}

// Popup finds the open menu.
func (d *Desktop) Popup(ctx context.Context) (image.Rectangle, bool) {
	for _, w := range d.windows(ctx, d.plugin) {
		if w.Dx() > 100 && w.Dy() > 100 {
			return w, true
		}
	}
	return image.Rectangle{}, false
}

// HasWindow reports whether a program shows a window at least so wide.
func (d *Desktop) HasWindow(ctx context.Context, program string, width int) bool {
	for _, w := range d.windows(ctx, program) {
		if w.Dx() >= width {
			return true
		}
	}
	return false
}

// RowAt is the middle of the visible row with a label in the open menu. GTK draws
// rows of one height, separators of one pixel and a frame of four, all of it scaled.
func (d *Desktop) RowAt(popup image.Rectangle, menu []Row, label string) (image.Point, error) {
	line, frame := d.scale, 4*d.scale
	rows, separators := 0, 0
	for _, r := range menu {
		if r.Visible && r.Separator {
			separators++
		} else if r.Visible {
			rows++
		}
	}
	height := float64(popup.Dy()-2*frame-separators*line) / float64(rows)
	y := float64(popup.Min.Y + frame)
	for _, r := range menu {
		switch {
		case !r.Visible:
		case r.Separator:
			y += float64(line)
		case strings.HasPrefix(r.Label, label):
			return image.Pt(popup.Min.X+60, int(y+height/2)), nil
		default:
			y += height
		}
	}
	return image.Point{}, fmt.Errorf("the menu has no row %q", label)
}

// Screenshot saves a part of the screen as PNG, all of it for an empty rectangle.
func (d *Desktop) Screenshot(ctx context.Context, path string, part image.Rectangle) error {
	if _, err := d.run(ctx, "scrot", "--overwrite", path); err != nil {
		return err
	}
	if part.Empty() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	whole, err := png.Decode(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	cut := image.NewRGBA(image.Rect(0, 0, part.Dx(), part.Dy()))
	draw.Draw(cut, cut.Bounds(), whole, part.Min, draw.Src)
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(out, cut), out.Close())
}
