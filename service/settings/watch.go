package settings

import (
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/wake"
)

// Watcher notices when settings, the ledger or sessions may have changed. It watches
// folders, because files are replaced by renaming.
type Watcher struct {
	machine  *machine.Machine
	notify   *fsnotify.Watcher
	events   chan struct{}
	sessions chan struct{}
	watched  map[string]bool
	done     chan struct{}
}

// Watch starts a Watcher, which Close ends.
func Watch(m *machine.Machine) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, What: "watching Claude Code's settings", Why: err.Error(),
			Remedy: "allow more watches (sysctl fs.inotify.max_user_instances)", Err: err}
	}
	w := &Watcher{machine: m, notify: notify, events: make(chan struct{}, 1), sessions: make(chan struct{}, 1), watched: map[string]bool{}, done: make(chan struct{})}
	w.Update(nil)
	go w.forward()
	return w, nil
}

// Events receives when anything else than sessions may have changed.
func (w *Watcher) Events() <-chan struct{} { return w.events }

// Sessions receives when records of sessions may have changed.
func (w *Watcher) Sessions() <-chan struct{} { return w.sessions }

// Update watches the folders that matter now, and those in also that exist. Call it after
// every look, since folders appear and links move.
func (w *Watcher) Update(also []string) {
	wanted := map[string]bool{}
	if dir, err := w.machine.Paths.Runs(); err == nil {
		wanted[dir] = true
	}
	for _, dir := range also {
		if !config.Missing(dir) {
			wanted[dir] = true
		}
	}
	targets := w.machine.Targets()
	if switched, err := w.machine.Ledger.Switched(); err == nil {
		targets = append(targets, switched...)
	}
	for _, t := range targets {
		wanted[existing(t.Dir)] = true
		if real, err := filepath.EvalSymlinks(t.File); err == nil {
			wanted[filepath.Dir(real)] = true
		}
		if dir := filepath.Join(t.ConfigDir, "sessions"); !config.Missing(dir) {
			wanted[dir] = true
		}
	}
	wanted[existing(w.machine.Ledger.Dir())] = true
	for dir := range w.watched {
		if !wanted[dir] {
			_ = w.notify.Remove(dir)
			delete(w.watched, dir)
		}
	}
	for dir := range wanted {
		// Adding a folder again is cheap, and follows one that was replaced.
		if err := w.notify.Add(dir); err == nil {
			w.watched[dir] = true
		}
	}
}

// Close stops watching.
func (w *Watcher) Close() {
	_ = w.notify.Close()
	<-w.done
}

func (w *Watcher) forward() {
	defer close(w.done)
	for {
		to := w.events
		select {
		case event, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if event.Op == fsnotify.Chmod {
				continue
			}
			if of := filepath.Base(filepath.Dir(event.Name)); of == "sessions" || of == "run" {
				to = w.sessions
			}
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			// Events may have been lost, so report one.
		}
		wake.Notify(to)
	}
}

// existing is the folder, or the nearest one above it that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
