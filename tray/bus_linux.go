package tray

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"switchyard/service"
)

// awaitNewBus returns true when the session bus has ended and another one answers: the
// icon's library stays with the one that it began with.
func awaitNewBus(ctx context.Context) bool {
	conn, err := connectBus()
	if err != nil {
		return false
	}
	select {
	case <-ctx.Done():
		_ = conn.Close()
		return false
	case <-conn.Context().Done():
	}
	const longest = 30 * time.Second
	for pause := time.Second; ; pause = min(2*pause, longest) { // nothing tells that there is one again
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		if conn, err := connectBus(); err == nil {
			_ = conn.Close()
			return true
		}
	}
}

// connectBus opens a connection of its own to the session bus, starting none.
func connectBus() (*dbus.Conn, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
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

// again starts this program anew in its own place.
func again() error { return syscall.Exec(service.Executable(), os.Args, os.Environ()) }
