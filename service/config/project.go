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

// ProjectFile is what a project commits to say that Claude Code must stay off the cloud.
const ProjectFile = ".switchyard.toml"

// localOnly is the only value of "route" in a project's file.
const localOnly = "local-only"

// Lock is where it is written that Claude Code must not use the cloud.
type Lock struct {
	File  string
	Line  int    // 1-based; 0: the whole file
	Value string // what the file says, or why it cannot be read; empty: the cloud is allowed
}

// Where is FILE or FILE:LINE.
func (l Lock) Where() string {
	if l.Line == 0 {
		return l.File
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// Refusal is the error for what the lock forbids.
func (l Lock) Refusal() *fault.Error {
	return &fault.Error{Kind: fault.Refused, Why: l.Where() + " forbids the cloud (" + l.Value + ")", Remedy: "ask whoever wrote it, or change it"}
}

// ReadProject reads a project's file; there is false if it does not exist. A file that
// cannot be read or understood is a lock too.
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
		lock.Line, lock.Value = LineOf(file, "route"), `this Switchyard understands only route = "local-only"`
	}
	return lock, true
}

// LineOf is the number of the line that sets a key; 0 if there is none.
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
