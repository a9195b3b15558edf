package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/words"
)

// UninstallRequest asks to remove what Switchyard keeps of a user.
type UninstallRequest struct {
	KeepConfig bool
	Force      bool // also while sessions run that would keep asking the gateway
}

// Removed is what Uninstall did.
type Removed struct {
	Restored []string `json:"restored"` // settings files
	Kept     []string `json:"kept"`     // what somebody else had changed, left as it is
	Removed  []string `json:"removed"`  // files and folders
	Stopped  bool     `json:"stopped"`  // a Switchyard was running
}

// quitTime is how long a running Switchyard may take to end.
const quitTime = 30 * time.Second

// Uninstall restores all settings, then removes the start at login and everything that
// Switchyard keeps of this user. The program itself is for whoever installed it.
func (y *Yard) Uninstall(ctx context.Context, r UninstallRequest) (done Removed, err error) {
	const what = "uninstalling"
	done = Removed{Restored: []string{}, Kept: []string{}, Removed: []string{}}
	targets, err := y.ledger.Switched()
	if err != nil {
		return done, &Error{Kind: Refused, What: what, Why: "the ledger cannot be read: " + err.Error(), Remedy: "see " + y.Paths.Ledger() + "; the copies named before-… in it are the settings of before", Err: err}
	}
	for _, t := range targets {
		if err := y.ledger.Look(t); err != nil {
			return done, refused(what, err)
		}
	}
	if names := y.dependents(targets); len(names) > 0 && !r.Force {
		return done, &Error{Kind: Refused, What: what, Why: fmt.Sprintf("%s still use the gateway: %s", words.Count(len(names), "running session", "running sessions"), words.Some(names)), Remedy: "end them first, or --force"}
	}
	if done.Stopped, err = y.Quit(ctx); err != nil {
		return done, commandError(what, err)
	}
	for _, t := range targets {
		out, err := y.ledger.Restore(ctx, t)
		if err != nil {
			return done, commandError("restoring "+t.File, err)
		}
		done.Restored = append(done.Restored, t.File)
		done.Kept = append(done.Kept, out.Kept...)
	}
	if status, err := y.Autostart(); err == nil && status.Program != "" {
		if err := y.SetAutostart(false); err != nil {
			return done, err
		}
		done.Removed = append(done.Removed, status.Where)
	}
	remove := []string{y.Paths.Runtime, y.Paths.State}
	if !r.KeepConfig {
		remove = append(remove, filepath.Dir(y.Paths.Config))
	}
	for _, dir := range remove {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return done, &Error{Kind: Failed, What: what, Why: err.Error(), Remedy: "remove it by hand", Err: err}
		}
		done.Removed = append(done.Removed, dir)
	}
	above := filepath.Dir(y.Paths.State)
	_, _ = os.Remove(above), os.Remove(filepath.Dir(above)) // ~/.local/state and ~/.local, when they are empty
	return done, nil
}

// dependents are the running sessions that saw a local route.
func (y *Yard) dependents(targets []claude.Target) (names []string) {
	for _, t := range targets {
		sessions, err := claude.Sessions(t.ConfigDir)
		if err != nil {
			continue
		}
		for _, s := range sessions {
			if t.Covers(s) {
				names = append(names, Session{PID: s.PID, CWD: s.CWD}.Place())
			}
		}
	}
	return unique(names)
}

// Quit ends the Switchyard that runs, and waits until it has ended.
func (y *Yard) Quit(ctx context.Context) (ran bool, err error) {
	running, err := y.Supervised(ctx)
	if err != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, quitTime)
	defer cancel()
	for {
		err = running.ask(ctx, "POST", "/quit", nil) // again to a guard that took its place
		if errors.Is(err, ErrNoSupervisor) && ctx.Err() == nil {
			return true, nil
		}
		var cut *url.Error // by its end, perhaps
		if err != nil && (!errors.As(err, &cut) || ctx.Err() != nil) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // nothing tells of another process' end
		}
	}
	return true, &Error{Kind: Failed, What: "ending Switchyard", Why: "the Switchyard that runs does not end: " + err.Error(), Remedy: "quit it in its menu, then try again", Err: err}
}
