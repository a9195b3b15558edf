// Package machine is one user's machine: its configuration and environment, the targets that a switch moves, the ledger, and what the user chose.
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

// Machine is one user's machine: what the command line and the tray both work on.
type Machine struct {
	Config   config.Config
	Warnings []state.Warning // about the configuration
	Paths    config.Paths
	Home     string
	Environ  []string // NAME=value, as the shell gave it

	Version string // of this program
	Program string // this program, for what is done in a process of its own; empty: it is left undone

	Ledger *claude.Ledger

	Here Host // this process, where it serves the gateway itself; nil in a command
}

// Host is the Switchyard that runs in this very process.
type Host interface {
	// Address is where its gateway listens and what that asks for, once a guard is
	// there; ok is false while there is no gateway.
	Address(ctx context.Context) (url, token string, ok bool)
	// BringUp returns when the runner answers that a person's switch needs.
	BringUp(ctx context.Context) error
}

// Open reads the configuration. It opens nothing else.
func Open(paths config.Paths, home string, environ []string) (*Machine, error) {
	m := &Machine{Paths: paths, Home: home, Environ: environ, Ledger: claude.OpenLedger(paths.Ledger())}
	var err error
	m.Config, m.Warnings, err = config.Load(paths.Config, m.Getenv)
	return m, err
}

func (m *Machine) Getenv(name string) string {
	for _, pair := range slices.Backward(m.Environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// Number is a variable's value; 0 when it is none.
func (m *Machine) EnvNumber(variable string) int {
	n, _ := strconv.Atoi(m.Getenv(variable))
	return n
}

// Path is a configured file, with ~ for the home folder.
func (m *Machine) Path(file string) string {
	if file == "" {
		return ""
	}
	return config.Expand(file, m.Home)
}

// Tilde writes paths under the home folder short.
func (m *Machine) Tilde(text string) string {
	const slash = string(filepath.Separator)
	return strings.ReplaceAll(text, m.Home+slash, "~"+slash)
}

func (m *Machine) GatewayPort() int {
	if m.Config.GatewayPort > 0 {
		return m.Config.GatewayPort
	}
	return m.Paths.Usual.Gateway
}

// Executable is the program that runs, also when its file was replaced or removed meanwhile.
func Executable() string {
	const self = "/proc/self/exe" // this very file, also when another one has taken its place
	if _, err := os.Stat(self); err == nil && runtime.GOOS == "linux" {
		return self
	}
	path, _ := os.Executable()
	return path
}

// PlainURL is a base URL without a password in it.
func PlainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}
