// Package uninstall restores Claude Code's settings and removes Switchyard's own files.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/login"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Request says what to remove.
type Request struct {
	KeepConfig bool
	Force      bool // even if running sessions still use the gateway
}

// Removed is what Everything did.
type Removed struct {
	Restored []string `json:"restored"` // settings files
	Kept     []string `json:"kept"`     // variables that were changed after the switch, and left as they are
	Removed  []string `json:"removed"`  // files and folders
	Stopped  bool     `json:"stopped"`  // a Switchyard was running
}

// Everything restores all settings, then removes the start at login and Switchyard's files. The
// program itself is left to the package manager. The error is a *fault.Error.
func Everything(ctx context.Context, m *machine.Machine, r Request) (done Removed, err error) {
	const what = "uninstalling"
	done = Removed{Restored: []string{}, Kept: []string{}, Removed: []string{}}
	targets, err := m.Ledger.Switched()
	if err != nil {
		return done, &fault.Error{Kind: fault.Refused, What: what, Why: "the ledger cannot be read: " + err.Error(), Remedy: "see " + m.Paths.Ledger() + "; your original settings are the before-… files in it", Err: err}
	}
	for _, t := range targets {
		if err := m.Ledger.Look(t); err != nil {
			return done, fault.WrapRefused(what, err)
		}
	}
	if names := dependents(m, targets); len(names) > 0 && !r.Force {
		return done, &fault.Error{Kind: fault.Refused, What: what, Why: fmt.Sprintf("%s still use the gateway: %s", words.Count(len(names), "running session", "running sessions"), words.Some(names)), Remedy: "end them first, or use --force"}
	}
	if done.Stopped, err = Quit(ctx, m); err != nil {
		return done, fault.Wrap(what, err)
	}
	for _, t := range targets {
		out, err := m.Ledger.Restore(ctx, t)
		if err != nil {
			return done, fault.Wrap("restoring "+t.File, err)
		}
		done.Restored = append(done.Restored, t.File)
		done.Kept = append(done.Kept, out.Kept...)
	}
	if status, err := login.Status(m); err == nil && status.Program != "" {
		if err := login.Set(m, false); err != nil {
			return done, err
		}
		done.Removed = append(done.Removed, status.Where)
	}
	remove := m.Paths.RuntimeDirs()
	if !r.KeepConfig {
		remove = append(remove, filepath.Dir(m.Paths.Config))
	}
	for _, dir := range remove {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return done, &fault.Error{Kind: fault.Failed, What: what, Why: err.Error(), Remedy: "remove it by hand", Err: err}
		}
		done.Removed = append(done.Removed, dir)
	}
	above := filepath.Dir(m.Paths.State)
	_, _ = os.Remove(above), os.Remove(filepath.Dir(above)) // ~/.local/state and ~/.local, when they are empty
	return done, nil
}

// dependents are the running sessions that use switched settings.
func dependents(m *machine.Machine, targets []claude.Target) (names []string) {
	for _, t := range targets {
		sessions, err := claude.Sessions(t.ConfigDir)
		if err != nil {
			continue
		}
		for _, s := range sessions {
			if t.Covers(s) {
				names = append(names, state.Session{PID: s.PID, CWD: s.CWD}.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
