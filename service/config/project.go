package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/switchyard-app/switchyard/service/fault"
)

// ProjectFile is what a project commits to say how Claude Code may be used in it.
const ProjectFile = ".switchyard.toml"

const localOnly = "local-only"

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

// Refusal is why something that leads to the cloud is not done.
func (l Lock) Refusal() *fault.Error {
	return &fault.Error{Kind: fault.Refused, Why: l.Where() + " keeps Claude Code from the cloud (" + l.Value + ")", Remedy: "ask whoever wrote it, or change it"}
}

// ReadProject reads a project's file; a Lock without a value allows everything.
func ReadProject(file string) (lock Lock, there bool) {
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
		lock.Line, lock.Value = LineOf(file, "route"), `route = "local-only"`
	case c.Route != "" || len(meta.Undecoded()) > 0:
		lock.Line, lock.Value = LineOf(file, "route"), `it says something that this Switchyard does not know; it knows route = "local-only"`
	}
	return lock, true
}

// LineOf is the line that sets a key; 0 when there is none.
func LineOf(file, key string) int {
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
