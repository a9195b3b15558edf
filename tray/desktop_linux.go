package tray

import "context"

// hasBus reports whether there is a session bus; the library must not start one.
func hasBus(ctx context.Context) bool {
	conn, err := connectBus(ctx)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// desktop says what is missing for an icon, empty when nothing is.
func desktop(ctx context.Context) string {
	conn, err := connectBus(ctx)
	if err != nil {
		return "no desktop session (no D-Bus session bus), so no icon; running without one, press Ctrl-C to quit"
	}
	defer conn.Close()
	var watched bool
	err = conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, trayHost).Store(&watched)
	if err != nil || !watched {
		return "this desktop shows no tray icons (on GNOME, install the AppIndicator extension); running without one until it can be shown"
	}
	return ""
}
