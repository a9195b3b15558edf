// Command require sees to it that the programs a set of tests needs are there:
// it installs Debian's packages when it may, and else names what is missing.
//
//	require test|e2e|package
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
)

// sets are the programs that each purpose needs. Tests need a session bus; the desktop's own parts are for the end-to-end suite.
var sets = map[string]map[string]string{
	"test":    {"gcc": "gcc libc6-dev", "dbus-daemon": "dbus-daemon", "git": "git", "ip": "iproute2", "unshare": "util-linux"},
	"package": {"git": "git", "makensis": "nsis"},
	"e2e": {
		"dbus-daemon": "dbus-daemon", "git": "git", "Xvfb": "xvfb", "Xorg": "xserver-xorg-core", "/usr/lib/xorg/modules/drivers/dummy_drv.so": "xserver-xorg-video-dummy", "xfce4-panel": "xfce4-panel", "mate-panel": "mate-panel", "xfconf-query": "xfconf",
		"/usr/lib/x86_64-linux-gnu/xfce4/notifyd/xfce4-notifyd": "xfce4-notifyd",
		"dockerd": "docker.io", "iptables": "iptables", "xdotool": "xdotool", "xsetroot": "x11-xserver-utils", "scrot": "scrot", "tmux": "tmux", "strace": "strace", "npm": "npm", "tar": "tar", "ip": "iproute2", "unshare": "util-linux", "debootstrap": "debootstrap", "lintian": "lintian", "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
		"/usr/share/icons/Adwaita/index.theme":                                           "adwaita-icon-theme",
		"/usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders/libpixbufloader-svg.so": "librsvg2-common",
	},
}

func main() {
	if len(os.Args) != 2 || sets[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "require: want one of: test, e2e, package")
		os.Exit(2)
	}
	packages := missing(sets[os.Args[1]])
	if len(packages) == 0 {
		return
	}
	command := "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err == nil && os.Getuid() == 0 {
		fmt.Println("installing", strings.Join(packages, " "))
		_ = run("apt-get", "update", "-q")
		if err := run("apt-get", strings.Fields(command)[1:]...); err == nil {
			packages = missing(sets[os.Args[1]])
		}
	}
	if len(packages) > 0 {
		fmt.Fprintf(os.Stderr, "require: missing: %s\nrequire: on Debian, as root: %s\n", strings.Join(packages, " "), command)
		os.Exit(1)
	}
}

// missing lists the packages of programs and files that are not there.
func missing(set map[string]string) []string {
	var packages []string
	for name, pkg := range set {
		if strings.HasPrefix(name, "/") {
			if _, err := os.Stat(name); err == nil {
				continue
			}
		} else if _, err := exec.LookPath(name); err == nil {
			continue
		}
		packages = append(packages, pkg)
	}
	sort.Strings(packages)
	return packages
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", name, err, out)
	}
	return err
}
