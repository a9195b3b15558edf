package tray

import "github.com/godbus/dbus/v5"

// hasBus tells whether there is a session bus; the library must not start one.
func hasBus() bool {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return false
	}
	defer conn.Close()
	return conn.Auth(nil) == nil
}

// desktop says what is missing for an icon, empty when nothing is.
func desktop() string {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err == nil {
		defer conn.Close()
		if err = conn.Auth(nil); err == nil {
			err = conn.Hello()
		}
	}
	if err != nil {
		return "there is no desktop session (no D-Bus session bus), so there is no icon; supervising without one, Ctrl-C ends it"
	}
	var watched bool
	err = conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.kde.StatusNotifierWatcher").Store(&watched)
	if err != nil || !watched {
		return "this desktop shows no tray icons just now (on GNOME, install the AppIndicator extension); going on, the icon comes when it can"
	}
	return ""
}
