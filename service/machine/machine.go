// Package machine is one user's machine: configuration and environment, the Claude Code
// settings that a switch changes, the ledger, and what the user chose.
package machine

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/state"
)

// Machine is what the command line and the tray both work on.
type Machine struct {
	Config   config.Config
	Warnings []state.Warning // about the configuration
	Paths    config.Paths
	Home     string
	Environ  []string // NAME=value, as the shell gave it

	Version string // of this program
	Program string // the executable to run for work in a process of its own; empty: that work is left out

	Ledger *claude.Ledger

	Here Host // this process, if it serves the gateway; nil in a command
}

// Host is a Switchyard that serves the gateway in this process.
type Host interface {
	// Address waits for the guard, then returns the gateway's URL and token. ok is false
	// while there is no gateway.
	Address(ctx context.Context) (url, token string, ok bool)
	// BringUp starts the runner for a switch, and returns when it answers.
	BringUp(ctx context.Context) error
}

// Open reads the configuration. environ is what os.Environ returns.
func Open(paths config.Paths, home string, environ []string) (*Machine, error) {
	m := &Machine{Paths: paths, Home: home, Environ: environ, Ledger: claude.OpenLedger(paths.Ledger())}
	var err error
	m.Config, m.Warnings, err = config.Load(paths.Config, m.Getenv)
	return m, err
}

// Getenv is os.Getenv for this machine's environment.
func (m *Machine) Getenv(name string) string {
	for _, pair := range slices.Backward(m.Environ) {
		key, value, _ := strings.Cut(pair, "=")
		if key == name || runtime.GOOS == "windows" && strings.EqualFold(key, name) { // there it says Path
			return value
		}
	}
	return ""
}

// EnvNumber is the number in an environment variable; 0 if there is none.
func (m *Machine) EnvNumber(variable string) int {
	n, _ := strconv.Atoi(m.Getenv(variable))
	return n
}

// Path makes a path from the configuration absolute; empty stays empty.
func (m *Machine) Path(file string) string {
	if file == "" {
		return ""
	}
	return config.Expand(file, m.Home)
}

// Tilde replaces the home folder with ~ wherever a text names it.
func (m *Machine) Tilde(text string) string {
	const slash = string(filepath.Separator)
	return strings.ReplaceAll(text, m.Home+slash, "~"+slash)
}

// GatewayPort is the port that the gateway tries first; 0: any.
func (m *Machine) GatewayPort() int {
	if m.Config.GatewayPort > 0 {
		return m.Config.GatewayPort
	}
	return m.Paths.Usual.Gateway
}

// Executable is the path of the running program. It works after an update replaced or
// removed the file.
func Executable() string {
	const self = "/proc/self/exe" // the file itself, whatever its path names now
	if _, err := os.Stat(self); err == nil && runtime.GOOS == "linux" {
		return self
	}
	path, _ := os.Executable()
	return path
}

// PlainURL is a base URL without its password; empty if it cannot be parsed.
func PlainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}
