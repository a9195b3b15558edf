package claude

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

// Tidy ends what was left open in every target: transactions of killed
// processes, and the second step of a return to cloud whose sessions have
// ended. It leaves targets alone that another process is working on, and
// returns the sessions for which a second step still waits.
func (l *Ledger) Tidy(ctx context.Context) (waiting []Session, err error) {
	folders, err := l.folders()
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		left, tidyErr := f.tidy(ctx)
		waiting = append(waiting, left...)
		err = errors.Join(err, tidyErr)
	}
	return waiting, err
}

func (f folder) tidy(ctx context.Context) ([]Session, error) {
	current, err := f.read("entry.json")
	if err != nil {
		return nil, err
	}
	var left []Session
	secondStep := false
	if current != nil && current.returning() {
		left = stillRunning(current.Waiting)
		secondStep = len(left) == 0
	}
	if !secondStep && missing(filepath.Join(f.path, "pending.json")) {
		return left, nil
	}
	unlock, err := f.begin(ctx, 50*time.Millisecond)
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return left, nil
	}
	if err != nil {
		return left, err
	}
	defer unlock()
	current, err = f.read("entry.json")
	if err != nil || current == nil || !current.returning() {
		return nil, err
	}
	if left = stillRunning(current.Waiting); len(left) > 0 {
		return left, nil
	}
	_, err = f.apply(ctx, entry{Version: entryVersion, Target: current.Target, Route: Cloud}, nil)
	return nil, err
}

// recover ends what a killed process began: the file decides whether the
// transaction is completed or taken back.
func (f folder) recover() error {
	e, err := f.read("pending.json")
	if err != nil || e == nil {
		return err
	}
	if err := f.recoverTemp(e); err != nil {
		return err
	}
	now, err := readIfExists(e.Real)
	if err != nil {
		return err
	}
	current, err := f.read("entry.json")
	if err != nil {
		return err
	}
	if sum(now) == e.After || holds(now, e) {
		if err := f.retire(current, e); err != nil {
			return err
		}
		return f.commit(e)
	}
	if err := f.takeBack(e, current); err != nil {
		return err
	}
	if err := f.disk.remove(filepath.Join(f.path, "pending.json")); err != nil {
		return err
	}
	return f.disk.syncDir(f.path)
}

// recoverTemp judges a file that was left beside the settings: ours, or the
// version that another program wrote while it was exchanged, which goes back.
func (f folder) recoverTemp(e *entry) error {
	left, err := readIfExists(e.Temp)
	if err != nil || left == nil {
		return err
	}
	now, err := readIfExists(e.Real)
	if err != nil {
		return err
	}
	before, _ := f.before(e)
	var after string
	if current, err := f.read("entry.json"); err == nil && current != nil {
		after = current.After
	}
	complete := sum(left) != e.After && !sameBytes(left, before) && sum(left) != after
	switch {
	case complete && now == nil && e.After == "":
		return f.disk.place(e.Temp, e.Real)
	case complete && sum(now) == e.After && parses(left):
		return f.disk.publish(e.Temp, e.Real)
	}
	return f.disk.remove(e.Temp)
}

// holds reports whether the file, whoever wrote it last, has the entry's values.
func holds(now []byte, e *entry) bool {
	if now == nil || len(e.Keys) == 0 {
		return false
	}
	doc, err := parse(now)
	if err != nil {
		return false
	}
	for _, k := range e.Keys {
		if !same(doc.value(k.Name), k.New) {
			return false
		}
	}
	return true
}

func parses(data []byte) bool {
	_, err := parse(data)
	return err == nil
}
