package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/switchyard-app/switchyard/service/claude"
)

// projectFile is what a project commits to say how Claude Code may be used in it.
const projectFile = ".switchyard.toml"

const (
	never     = "never"
	localOnly = "local-only"
)

// Lock is a word that Claude Code may not talk to the cloud, and whose it is.
type Lock struct {
	File  string
	Line  int    // 1-based; 0: the whole file
	Value string // as it stands there
}

// Where names the file and the line.
func (l Lock) Where() string {
	if l.Line == 0 {
		return l.File
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// refusal is why something that leads to the cloud is not done.
func (l Lock) refusal() *Error {
	return &Error{Kind: Refused, Why: l.Where() + " keeps Claude Code from the cloud (" + l.Value + ")", Remedy: "ask whoever wrote it, or change it"}
}

// Locked tells who forbids the cloud to a Claude Code in a folder: the configuration,
// for all of them, or the nearest project file above the folder. A project file that
// cannot be read forbids it too.
func (y *Yard) Locked(folder string) (Lock, bool) {
	if y.Config.Cloud == never {
		return Lock{File: y.Paths.Config, Line: lineOf(y.Paths.Config, "cloud"), Value: `cloud = "never"`}, true
	}
	for dir := folder; dir != ""; dir = filepath.Dir(dir) {
		if lock, there := readProject(filepath.Join(dir, projectFile)); there {
			return lock, lock.Value != ""
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return Lock{}, false
}

// readProject reads a project's file; a Lock without a value allows everything.
func readProject(file string) (lock Lock, there bool) {
	var c struct {
		Route string `toml:"route"`
	}
	meta, err := toml.DecodeFile(file, &c)
	lock = Lock{File: file}
	var syntax toml.ParseError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lock, false
	case errors.As(err, &syntax):
		lock.Line, lock.Value = syntax.Position.Line, "it cannot be read: "+syntax.Message
	case err != nil:
		lock.Value = "it cannot be read"
	case c.Route == localOnly:
		lock.Line, lock.Value = lineOf(file, "route"), `route = "local-only"`
	case c.Route != "" || len(meta.Undecoded()) > 0:
		lock.Line, lock.Value = lineOf(file, "route"), `it says something that this Switchyard does not know; it knows route = "local-only"`
	}
	return lock, true
}

// lineOf is the line that sets a key; 0 when there is none.
func lineOf(file, key string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for i, line := range strings.Split(string(data), "\n") {
		if name, _, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			return i + 1
		}
	}
	return 0
}

// ErrOffline says that leaving the offline route was not confirmed.
var ErrOffline = errors.New("the route is offline")

// allowed refuses a switch to the cloud where it is forbidden, or where it ends the
// offline route without a person's word.
func (y *Yard) allowed(r Request) error {
	if r.Route != claude.Cloud {
		return nil
	}
	for _, t := range r.Targets {
		if lock, locked := y.Locked(t.Project); locked {
			return lock.refusal()
		}
		if status, err := y.ledger.Inspect(t); err == nil && status.Route == claude.Offline && !r.Confirmed {
			return &Error{Kind: Refused, Why: "the route is offline, and in the cloud Claude Code talks to Anthropic again", Remedy: "confirm it: switchyard cloud --yes", Err: ErrOffline}
		}
	}
	return nil
}

// Explain lists what decides for a Claude Code in a folder: the settings' layers, and
// who forbids the cloud there.
func (y *Yard) Explain(folder string) (settings []claude.Setting, skipped []*claude.Refusal) {
	settings, skipped = y.Scope(folder).Explain()
	if lock, locked := y.Locked(expand(folder, y.Home)); locked {
		layer := claude.Project
		if lock.File == y.Paths.Config {
			layer = claude.User
		}
		settings = append(settings, claude.Setting{Name: "switchyard", Place: claude.Place{Layer: layer, File: lock.File, Line: lock.Line, Value: lock.Value}, Others: []claude.Place{}})
	}
	return settings, skipped
}
