// Package alone runs a test binary as if nobody used its machine: without what
// the user's environment sets, in a home folder of its own.
package alone

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Tests is what a test binary runs: a *testing.M.
type Tests interface{ Run() int }

// Main is a TestMain: it runs the tests alone, and ends the process.
func Main(tests Tests) { os.Exit(M{tests}.Run()) }

// M is tests that run alone.
type M struct{ Tests }

// outside is the environment that the test binary was started in.
var outside = os.Environ()

// Outside is the environment that this process was started in: for what builds or
// fetches parts, which may need a proxy and the caches of the Go command.
func Outside() []string { return slices.Clone(outside) }

// Run cleans the environment of this process, runs the tests and returns their exit code.
func (m M) Run() int {
	home, err := os.MkdirTemp("", "alone")
	if err != nil {
		fmt.Fprintln(os.Stderr, "a home folder for the tests:", err)
		return 1
	}
	defer os.RemoveAll(home)
	environ := environment(os.Environ(), home) // a test framework may have added to it
	if user, err := os.UserCacheDir(); err == nil && os.Getenv("LAB_CACHE") == "" {
		environ = append(environ, "LAB_CACHE="+filepath.Join(user, "switchyard-lab")) // not below the new home
	}
	os.Clearenv()
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintf(os.Stderr, "setting %s: %v\n", name, err)
			return 1
		}
	}
	time.Local = time.UTC
	usualMask()
	return m.Tests.Run()
}

// kept are the variables that say how the tests run, not what their user has;
// a name that ends in _ stands for all that begin so. TMPDIR is not kept: below a
// long one there is no room for the paths of sockets.
var kept = []string{
	"PATH", "CI", "LAB_", "TEST_", "UPDATE_", "CGO_", "GOMAXPROCS", "GODEBUG", "GORACE", "GOTRACEBACK", "GOCOVERDIR",
	"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "USERPROFILE",
}

func environment(outside []string, home string) []string {
	var environ []string
	for _, pair := range outside {
		name, _, _ := strings.Cut(pair, "=")
		if slices.ContainsFunc(kept, func(k string) bool {
			return strings.EqualFold(name, k) || strings.HasSuffix(k, "_") && strings.HasPrefix(name, k)
		}) {
			environ = append(environ, pair)
		}
	}
	return append(environ, "HOME="+home, "LC_ALL=C.UTF-8", "TZ=UTC", "DOCKER_HOST=unix://"+filepath.Join(home, "no-docker.sock"),
		"DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(home, "no-bus"))
}
