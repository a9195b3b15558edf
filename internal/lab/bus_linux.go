package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Bus is a private session bus. Its tray host and its notification daemon are
// doubles: they speak the desktop's protocols and record what they are told.
type Bus struct {
	Address string

	stop  func()
	conn  *dbus.Conn
	mu    sync.Mutex
	more  chan struct{} // closed and replaced when something was recorded
	item  string        // the registered icon's bus name
	told  []Notification
	count uint32 // of notifications
	hang  bool
	lose  bool // the next registration of an icon
	sigs  map[string]int
}

// Notification is what an application asked to show.
type Notification struct {
	App, Title, Text string
	ID               uint32
	Buttons          []string // their labels
}

// StartBus starts a private bus, whose socket is in dir and whose services live in
// the environment given. With doubles it also takes the names of a tray
// host and a notification daemon; without, a real desktop can take them.
func StartBus(dir string, environ []string, doubles bool) (*Bus, error) {
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		return nil, errors.New("dbus-daemon is missing: apt-get install dbus")
	}
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:path="+filepath.Join(dir, "bus"))
	cmd.Env = environ
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stop, err := start(cmd)
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		return nil, fmt.Errorf("dbus-daemon did not start: %w", err)
	}
	b := &Bus{Address: strings.TrimSpace(line), more: make(chan struct{}), sigs: map[string]int{}, stop: stop}
	if b.conn, err = dbus.Connect(b.Address); err == nil && doubles {
		err = b.TakeNames()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Close ends the bus, and with it what lives on it.
func (b *Bus) Close() {
	if b.conn != nil {
		_ = b.conn.Close()
	}
	b.stop()
}

// Restart ends the bus, and starts another one with its doubles at the same address.
func (b *Bus) Restart(environ []string) error {
	_ = b.conn.Close()
	b.stop()
	dir := filepath.Dir(strings.TrimPrefix(strings.Split(b.Address, ",")[0], "unix:path="))
	next, err := StartBus(dir, environ, true)
	if err != nil {
		return err
	}
	b.record(func() {
		b.conn, b.stop, b.item = next.conn, next.stop, ""
	})
	// Its doubles report to the bus that the test knows.
	return b.TakeNames()
}

// TakeNames brings the doubles of a tray host and a notification daemon up.
func (b *Bus) TakeNames() error {
	if err := b.conn.Export(&hostProperties{b}, "/StatusNotifierWatcher", "org.freedesktop.DBus.Properties"); err != nil {
		return err
	}
	for name, export := range map[string]struct {
		path, iface string
		object      any
	}{
		"org.kde.StatusNotifierWatcher": {"/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher", &watcher{b}},
		"org.freedesktop.Notifications": {"/org/freedesktop/Notifications", "org.freedesktop.Notifications", &daemon{b}},
	} {
		if err := b.conn.Export(export.object, dbus.ObjectPath(export.path), export.iface); err != nil {
			return err
		}
		if _, err := b.conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
			return err
		}
	}
	if err := b.conn.AddMatchSignal(dbus.WithMatchInterface("com.canonical.dbusmenu")); err != nil {
		return err
	}
	signals := make(chan *dbus.Signal, 1024)
	b.conn.Signal(signals)
	go func() { // ends with the connection, which closes the channel
		for s := range signals {
			b.record(func() { b.sigs[s.Name[strings.LastIndexByte(s.Name, '.')+1:]]++ })
		}
	}()
	return nil
}

func (b *Bus) record(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.more)
	b.more = make(chan struct{})
}

type watcher struct{ b *Bus }

// RegisterStatusNotifierItem is the tray host's method.
func (w *watcher) RegisterStatusNotifierItem(_ string, sender dbus.Sender) *dbus.Error {
	w.b.record(func() {
		if !w.b.lose {
			w.b.item = string(sender)
		}
		w.b.lose = false
	})
	return nil
}

type hostProperties struct{ b *Bus }

// Get is the method of D-Bus for the tray host's one property that is asked for.
func (p *hostProperties) Get(_, property string) (dbus.Variant, *dbus.Error) {
	icons := []string{}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if property != "RegisteredStatusNotifierItems" {
		return dbus.Variant{}, dbus.MakeFailedError(errors.New("no property " + property))
	}
	if p.b.item != "" {
		icons = append(icons, p.b.item+"/StatusNotifierItem")
	}
	return dbus.MakeVariant(icons), nil
}

type daemon struct{ b *Bus }

// Notify is the notification daemon's method.
func (d *daemon) Notify(app string, replaces uint32, _, title, text string, actions []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	hang := false
	var conn *dbus.Conn
	n := Notification{App: app, Title: title, Text: text, ID: replaces}
	for i := 1; i < len(actions); i += 2 {
		n.Buttons = append(n.Buttons, actions[i])
	}
	d.b.record(func() {
		if d.b.count++; n.ID == 0 {
			n.ID = d.b.count
		}
		d.b.told = append(d.b.told, n)
		hang, conn = d.b.hang, d.b.conn
	})
	if hang {
		<-conn.Context().Done() // it never answers, and ends with the bus
	}
	return n.ID, nil
}

// Silence takes the notification daemon's double away.
func (b *Bus) Silence() error {
	_, err := b.conn.ReleaseName("org.freedesktop.Notifications")
	return err
}

// Press clicks a button of a notification that is shown.
func (b *Bus) Press(n Notification, label string) error {
	i := slices.Index(n.Buttons, label)
	if i < 0 {
		return fmt.Errorf("%q has no button %q: %q", n.Title, label, n.Buttons)
	}
	return b.conn.Emit("/org/freedesktop/Notifications", "org.freedesktop.Notifications.ActionInvoked", n.ID, strconv.Itoa(i))
}

// GetCapabilities is the notification daemon's method.
func (d *daemon) GetCapabilities() ([]string, *dbus.Error) { return []string{"body", "actions"}, nil }

// GetServerInformation is the notification daemon's method.
func (d *daemon) GetServerInformation() (name, vendor, version, spec string, err *dbus.Error) {
	return "double", "switchyard", "1", "1.2", nil
}

// Until waits for a condition, which is asked again whenever something was
// recorded, and every 50 ms for what the bus does not announce.
func (b *Bus) Until(ctx context.Context, what string, condition func() bool) error {
	for {
		b.mu.Lock()
		more := b.more
		b.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-more:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Registered reports whether an icon has registered.
func (b *Bus) Registered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.item != ""
}

// Hang makes the notification daemon take notifications and never answer.
func (b *Bus) Hang() { b.record(func() { b.hang = true }) }

// Lose makes the tray host lose the next registration of an icon.
func (b *Bus) Lose() { b.record(func() { b.lose = true }) }

// Forget lets the next icon register as the first one.
func (b *Bus) Forget() { b.record(func() { b.item = "" }) }

// Notifications returns what was shown so far.
func (b *Bus) Notifications() []Notification {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Notification(nil), b.told...)
}

// Signals counts the menu's signals of one name so far.
func (b *Bus) Signals(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sigs[name]
}
