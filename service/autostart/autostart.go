// Package autostart has the desktop start a program at login. The system's own record
// is the only one: it is read back each time, never mirrored.
package autostart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ID names the program to the desktop, on every system.
const ID = "dev.switchyard.Switchyard"

// Status is what the system's record says.
type Status struct {
	On      bool   `json:"on"`
	Where   string `json:"where"`             // the record
	Program string `json:"program,omitempty"` // that it starts; empty when there is no record
	ByUser  bool   `json:"by_user,omitempty"` // there is a record, and the user switched it off in the system's own settings
}

// Place is where records are kept.
type Place struct {
	Config string // the user's configuration folder (XDG), on Linux
	Home   string // on macOS
}

// Stable is the path by which a program is found after an update too: the one on the
// PATH where that is the same file, else its own.
func Stable(program string) string {
	if resolved, err := filepath.EvalSymlinks(program); err == nil {
		program = resolved // also what /proc/self/exe stands for
	} else if target, err := os.Readlink(program); err == nil {
		program = strings.TrimSuffix(target, " (deleted)") // an update put another file in its place
	}
	program = windowless(program)
	found, err := exec.LookPath(filepath.Base(program))
	if err != nil {
		return program
	}
	a, errA := os.Stat(found)
	b, errB := os.Stat(program)
	if errA == nil && errB == nil && os.SameFile(a, b) && filepath.IsAbs(found) {
		return found
	}
	return program
}

// Follow corrects a record that starts a program which is gone: an update moved it. What
// is off stays off.
func (p Place) Follow(program string) error {
	s, err := p.Status()
	if err != nil || !s.On || s.Program == "" || s.Program == program {
		return err
	}
	if _, err := os.Stat(s.Program); err == nil {
		return nil // it is there: another one than this, and the user's choice
	}
	return p.On(program)
}
