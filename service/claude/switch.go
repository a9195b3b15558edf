package claude

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Outcome is what a switch did to one target.
type Outcome struct {
	Changed bool
	Waiting []Session // back to cloud: the sessions for whose sake keys stay "" until they end
	Kept    []string  // owned keys that were changed meanwhile, and an agent file, left as they are
	Again   int       // how often a stale copy written over the switch was repaired
}

// maxRestarts bounds how often a write starts again because another program wrote in between.
const maxRestarts = 20

// Look refuses a target whose settings file cannot be edited safely. It changes nothing.
func (l *Ledger) Look(t Target) error {
	real, err := resolve(t.File)
	if err != nil {
		return refuseFile(t.File, err)
	}
	info, err := os.Lstat(real)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(real)); err != nil && (real != t.File || t.Project != "" && missing(t.Project)) {
			return &Refusal{File: t.File, Why: "the folder " + filepath.Dir(real) + " does not exist", Remedy: "create it, or name another target"}
		}
		return nil
	}
	if err != nil {
		return refuseFile(t.File, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return &Refusal{File: t.File, Why: "it is not a regular file", Remedy: "put a settings file in its place"}
	case info.Mode().Perm()&0o200 == 0:
		return &Refusal{File: t.File, Why: "the file is read-only", Remedy: "allow writing (chmod u+w " + real + "), or let its owner's tool set the variables"}
	}
	data, err := os.ReadFile(real)
	if err != nil {
		return refuseFile(t.File, err)
	}
	_, err = parseFile(t.File, data)
	return err
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Switch moves a target to a route and returns when the new file is durable.
// extra are further variables for this route. A *Refusal, a *BusyError or any
// other error means that the file is as it was.
func (l *Ledger) Switch(ctx context.Context, t Target, route Route, to Destination, extra map[string]string) (Outcome, error) {
	if err := l.Look(t); err != nil {
		return Outcome{}, err
	}
	f := l.folder(t)
	if route == Cloud && missing(f.path) {
		return Outcome{}, nil
	}
	unlock, err := f.begin(ctx, f.wait)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	current, err := f.read("entry.json")
	if err != nil {
		return Outcome{}, err
	}
	next := entry{Version: entryVersion, Target: t, Route: route}
	if route != Cloud {
		next.BaseURL, next.Model, next.Context, next.Way, next.Direct = to.BaseURL, to.Model, to.Context, to.Way, to.Direct
		values := current.extra()
		maps.Copy(values, Values(route, to))
		if next.Agent = to.Agent.in(t); next.Agent != nil {
			values[agentKey] = next.Agent.Name
		}
		maps.Copy(values, extra)
		return f.apply(ctx, next, values)
	}
	if current == nil {
		return Outcome{}, nil
	}
	if next.Waiting, err = waitFor(t, current); err != nil {
		return Outcome{}, err
	}
	return f.apply(ctx, next, nil)
}

// Restore puts a target back as it was without Switchyard, at once: running sessions
// that saw another route keep what they have until they end.
func (l *Ledger) Restore(ctx context.Context, t Target) (Outcome, error) {
	f := l.folder(t)
	if missing(f.path) {
		return Outcome{}, nil
	}
	if err := l.Look(t); err != nil {
		return Outcome{}, err
	}
	unlock, err := f.begin(ctx, f.wait)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	current, err := f.read("entry.json")
	if err != nil || current == nil {
		return Outcome{}, err
	}
	return f.apply(ctx, entry{Version: entryVersion, Target: t, Route: Cloud}, nil)
}

// waitFor lists the sessions that have seen the route that is being left.
func waitFor(t Target, current *entry) ([]Session, error) {
	if current.returning() {
		return stillRunning(current.Waiting), nil
	}
	sessions, err := Sessions(t.ConfigDir)
	return slices.DeleteFunc(sessions, func(s Session) bool { return !t.Covers(s) }), err
}

// says reports whether the current entry already says what the next one would.
func (e *entry) says(next *entry) bool {
	return e.Route == next.Route && e.Model == next.Model && e.Way == next.Way && e.Direct == next.Direct &&
		e.Agent.same(next.Agent) && len(e.Waiting) == len(next.Waiting)
}

func stillRunning(sessions []Session) []Session {
	return slices.DeleteFunc(slices.Clone(sessions), func(s Session) bool { return !running(s) })
}

// apply is the transaction: from the current entry, if any, to next, with these values.
func (f folder) apply(ctx context.Context, next entry, values map[string]string) (Outcome, error) {
	for range maxRestarts {
		if err := ctx.Err(); err != nil {
			return Outcome{}, err
		}
		out, err := f.attempt(next, values)
		if !errors.Is(err, errOvertaken) {
			return out, err
		}
	}
	return Outcome{}, &Refusal{File: next.Target.File, Why: "another program keeps writing the file", Remedy: "try again when it is done"}
}

func (f folder) attempt(e entry, values map[string]string) (Outcome, error) {
	file := e.Target.File
	current, err := f.read("entry.json")
	if err != nil {
		return Outcome{}, err
	}
	real, err := resolve(file)
	if err != nil {
		return Outcome{}, refuseFile(file, err)
	}
	now, err := readIfExists(real)
	if err != nil {
		return Outcome{}, refuseFile(file, err)
	}
	base, kept, err := f.base(file, now, current)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Kept: kept, Waiting: e.Waiting}
	if len(e.Waiting) > 0 {
		values = emptied(current, base)
	}
	e.Switched = f.now()
	if e.Since = e.Switched; current != nil && current.Route == e.Route && !current.Since.IsZero() {
		e.Since = current.Since
	}
	after, err := e.edit(now, base, values, current)
	if err != nil {
		return Outcome{}, err
	}
	if e.Agent, err = f.agent(e.Agent, current, len(e.Waiting) > 0); err != nil {
		return Outcome{}, err
	}
	if current != nil {
		e.MadeDir = current.MadeDir
		if sameBytes(now, after) && current.After == sum(after) && current.says(&e) {
			return out, nil
		}
	}
	if err := f.write(&e, current, real, now, base, after); err != nil {
		if err := f.afterFailure(file, real, after, err); err != nil {
			return Outcome{}, err
		}
	}
	out.Changed = !sameBytes(now, after)
	if left := current.leftBehind(&e); left != "" {
		out.Kept = append(out.Kept, left)
	}
	return out, nil
}

// afterFailure completes or takes back a write that failed. It returns nil when the
// file holds what was to be written all the same.
func (f folder) afterFailure(file, real string, after []byte, failure error) error {
	if err := f.recover(); err != nil {
		return errors.Join(whyNotWritten(file, failure), err)
	}
	if errors.Is(failure, errOvertaken) {
		return failure
	}
	if done, err := readIfExists(real); err != nil || !sameBytes(done, after) {
		return whyNotWritten(file, failure)
	}
	return nil
}
