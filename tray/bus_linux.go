package tray

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/switchyard-app/switchyard/service/machine"
)

// awaitNewBus returns true when the session bus has ended and another one answers: the
// icon's library stays with the one that it began with. Until then it registers the
// icon with tray hosts that the library has missed.
func awaitNewBus(ctx context.Context) bool {
	conn, err := connectBus(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	hosts := make(chan *dbus.Signal, 16) // closed with the connection
	conn.Signal(hosts)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, trayHost)); err != nil {
		return false
	}
	const turn = time.Second // the library's, which tries once for each host that it sees
	look := time.NewTimer(turn)
	defer look.Stop()
	for here := true; here; {
		select {
		case <-ctx.Done():
			return false
		case _, here = <-hosts:
			look.Reset(turn)
		case <-look.C:
			registerIcon(ctx, conn)
		}
	}
	const longest = 30 * time.Second
	for pause := time.Second; ; pause = min(2*pause, longest) { // nothing tells that there is one again
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		if conn, err := connectBus(ctx); err == nil {
			_ = conn.Close()
			return true
		}
	}
}

const trayHost = "org.kde.StatusNotifierWatcher"

// registerIcon registers the icon with the tray host that is there, if it does not know
// it yet. The library tries once at its start, and begins to watch for hosts after that:
// one that comes in between it does not see. What cannot be done now is done when the
// next host appears.
func registerIcon(ctx context.Context, conn *dbus.Conn) {
	const item = "/StatusNotifierItem"
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	shared, err := dbus.SessionBus() // the library's connection: hosts know an icon by it
	if err != nil || len(shared.Names()) == 0 {
		return
	}
	name := shared.Names()[0]
	get := func(of string, path dbus.ObjectPath, iface, property string) (v dbus.Variant, err error) {
		err = conn.Object(of, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, iface, property).Store(&v)
		return v, err
	}
	icons, err := get(trayHost, "/StatusNotifierWatcher", trayHost, "RegisteredStatusNotifierItems")
	if err != nil {
		return
	}
	known, _ := icons.Value().([]string)
	for _, icon := range known { // :1.2/StatusNotifierItem or :1.2@/StatusNotifierItem
		if rest, ok := strings.CutPrefix(icon, name); ok && (rest == "" || strings.ContainsAny(rest[:1], "/@")) {
			return
		}
	}
	if _, err := get(name, item, "org.kde.StatusNotifierItem", "Id"); err != nil {
		return // the library is not so far, and its own attempt is to come
	}
	shared.Object(trayHost, "/StatusNotifierWatcher").CallWithContext(ctx, trayHost+".RegisterStatusNotifierItem", dbus.FlagNoAutoStart, item)
}

// connectBus opens a connection of its own to the session bus, starting none. It is
// closed when the context ends.
func connectBus(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// again replaces this process with a new run of the program.
func again() error { return syscall.Exec(machine.Executable(), os.Args, os.Environ()) }
