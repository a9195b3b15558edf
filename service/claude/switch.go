package claude

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Outcome is what a switch did to one target.
type Outcome struct {
	Changed bool
	Waiting []Session // back to cloud: the sessions for whose sake keys stay "" until they end
	Kept    []string  // owned keys that somebody else changed meanwhile, and an agent file, left as they are
	Again   int       // how often a stale copy written over the switch was repaired
}

// maxRestarts bounds how often a write starts again because somebody else wrote in between.
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
	force, err := f.read("entry.json")
	if err != nil {
		return Outcome{}, err
	}
	next := entry{Version: entryVersion, Target: t, Route: route}
	if route != Cloud {
		next.BaseURL, next.Model, next.Context, next.Way, next.Direct = to.BaseURL, to.Model, to.Context, to.Way, to.Direct
		values := force.extra()
		maps.Copy(values, Values(route, to))
		if next.Agent = to.Agent.in(t); next.Agent != nil {
			values[agentKey] = next.Agent.Name
		}
		maps.Copy(values, extra)
		return f.apply(ctx, next, values)
	}
	if force == nil {
		return Outcome{}, nil
	}
	if next.Waiting, err = waitFor(t, force); err != nil {
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
	force, err := f.read("entry.json")
	if err != nil || force == nil {
		return Outcome{}, err
	}
	return f.apply(ctx, entry{Version: entryVersion, Target: t, Route: Cloud}, nil)
}

// extra are the variables besides the route's own that the last switch to a local
// route set. What they hide is not seen any more, so the next one sets them too.
func (e *entry) extra() map[string]string {
	values := map[string]string{}
	if e == nil || e.returning() {
		return values
	}
	own := Values(Offline, Destination{Context: 1})
	for _, k := range e.Keys {
		if _, ours := own[k.Name]; !ours && k.New != nil && k.Name != agentKey {
			values[k.Name] = *k.New
		}
	}
	return values
}

// waitFor lists the sessions that have seen the route that is being left.
func waitFor(t Target, force *entry) ([]Session, error) {
	if force.returning() {
		return stillRunning(force.Waiting), nil
	}
	sessions, err := Sessions(t.ConfigDir)
	return slices.DeleteFunc(sessions, func(s Session) bool { return !t.Covers(s) }), err
}

func stillRunning(sessions []Session) []Session {
	return slices.DeleteFunc(slices.Clone(sessions), func(s Session) bool { return !running(s) })
}

// apply is the transaction: from whatever is in force to next, with these values.
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
	force, err := f.read("entry.json")
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
	base, kept, err := f.base(file, now, force)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Kept: kept, Waiting: e.Waiting}
	if len(e.Waiting) > 0 {
		values = emptied(force, base)
	}
	e.Switched = f.now()
	if e.Since = e.Switched; force != nil && force.Route == e.Route && !force.Since.IsZero() {
		e.Since = force.Since
	}
	after, err := e.edit(now, base, values, force)
	if err != nil {
		return Outcome{}, err
	}
	if e.Agent, err = f.agent(e.Agent, force, len(e.Waiting) > 0); err != nil {
		return Outcome{}, err
	}
	if force != nil {
		e.MadeDir = force.MadeDir
		if force.Agent.same(e.Agent) && sameBytes(now, after) && force.After == sum(after) && force.Route == e.Route && force.Model == e.Model && force.Way == e.Way && force.Direct == e.Direct && len(force.Waiting) == len(e.Waiting) {
			return out, nil
		}
	}
	if err := f.write(&e, force, real, now, base, after); err != nil {
		if recovery := f.recover(); recovery != nil {
			return Outcome{}, errors.Join(whyNotWritten(file, err), recovery)
		}
		if errors.Is(err, errOvertaken) {
			return Outcome{}, err
		}
		if done, readErr := readIfExists(real); readErr != nil || !sameBytes(done, after) {
			return Outcome{}, whyNotWritten(file, err)
		}
	}
	out.Changed = !sameBytes(now, after)
	if left := force.leftBehind(&e); left != "" {
		out.Kept = append(out.Kept, left)
	}
	return out, nil
}

// base is the settings file as it would be without Switchyard: the very bytes
// from before when nobody else touched it, else the present file with the owned
// keys put back. kept names owned keys that somebody else changed.
func (f folder) base(file string, now []byte, force *entry) (base []byte, kept []string, err error) {
	if force == nil {
		return now, nil, nil
	}
	before, whole := f.before(force)
	if whole && sum(now) == force.After {
		return before, nil, nil
	}
	if now == nil {
		return nil, nil, nil // removed by somebody: nothing of ours is left
	}
	doc, err := parseFile(file, now)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range force.Keys {
		present := doc.value(k.Name)
		switch {
		case same(present, k.Old):
		case !same(present, k.New) && !same(present, k.Was):
			kept = append(kept, spoken(k.Name))
		case k.Old == nil:
			doc.unset(k.Name)
		default:
			doc.set(k.Name, k.Raw)
		}
	}
	if force.MadeEnv {
		doc.dropEmptyEnv()
	}
	if whole && doc.empty() && len(bytes.TrimSpace(before)) == 0 {
		return before, kept, nil
	}
	return doc.bytes(), kept, nil
}

// emptied are the variables that a running session must see as "": those that
// the route being left had added. An empty NO_PROXY would mask the shell's, and
// moves nothing; an agent is for new sessions only.
func emptied(force *entry, base []byte) map[string]string {
	values := map[string]string{}
	doc, err := Parse(base)
	if err != nil {
		return nil
	}
	for _, k := range force.Keys {
		if k.New != nil && doc.value(k.Name) == nil && k.Name != agentKey && strings.ToUpper(k.Name) != noProxyKey {
			values[k.Name] = ""
		}
	}
	return values
}

// edit returns base with the values in it, and records for each owned key what
// is wanted, what stands there without us and what stood there just now.
func (e *entry) edit(now, base []byte, values map[string]string, force *entry) ([]byte, error) {
	e.Keys = nil
	doc, err := parseFile(e.Target.File, base)
	if err != nil {
		return nil, err
	}
	present, err := Parse(now)
	if err != nil {
		return nil, err
	}
	e.MadeEnv = doc.env() == nil
	names := slices.Collect(maps.Keys(values))
	if force != nil {
		for _, k := range force.Keys {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		k := key{Name: name, Was: present.value(name)}
		if raw, had := doc.rawVariable(name); had {
			k.Old, k.Raw = doc.value(name), bytes.Clone(raw)
		}
		k.New = k.Old
		if value, wanted := values[name]; wanted {
			k.New = &value
			doc.set(name, quote(value))
		}
		e.Keys = append(e.Keys, k)
	}
	if len(values) == 0 {
		return base, nil
	}
	return doc.bytes(), nil
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// write makes the record durable, moves the new file into place and commits.
func (f folder) write(e, force *entry, real string, now, base, after []byte) (err error) {
	if e.Before, err = f.keepBefore(base); err != nil {
		return err
	}
	e.After = sum(after)
	e.Real = real
	dir := filepath.Dir(real)
	if missing(dir) {
		e.MadeDir = true
	}
	e.Temp = filepath.Join(dir, fmt.Sprintf(".%s.switchyard-%d-%d", filepath.Base(real), os.Getpid(), e.Switched.UnixNano()))
	if err := f.savePending(e); err != nil {
		return err
	}
	if err := f.install(e.Agent); err != nil {
		return err
	}
	if err := f.move(e, now, after); err != nil {
		return err
	}
	if err := f.retire(force, e); err != nil {
		return err
	}
	return f.commit(e)
}

func (f folder) move(e *entry, now, after []byte) error {
	if sameBytes(now, after) {
		return nil
	}
	dir := filepath.Dir(e.Real)
	if after == nil {
		return f.removeFile(e, now)
	}
	if missing(dir) {
		if err := f.disk.do("mkdir", dir, func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
			return err
		}
	}
	var like fs.FileInfo
	if now != nil {
		info, err := os.Stat(e.Real)
		if errors.Is(err, fs.ErrNotExist) {
			return errOvertaken
		}
		if err != nil {
			return err
		}
		like = info
	}
	if err := f.disk.write(e.Temp, after, like); err != nil {
		return err
	}
	if err := f.disk.swap(e.Temp, e.Real, after, now); err != nil {
		return err
	}
	return f.disk.syncDir(dir)
}

// removeFile takes a settings file away that Switchyard had made: first aside,
// then, if it is still what it was, for good.
func (f folder) removeFile(e *entry, now []byte) error {
	if err := f.disk.do("set aside", e.Real, func() error { return os.Rename(e.Real, e.Temp) }); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errOvertaken
		}
		return err
	}
	aside, err := os.ReadFile(e.Temp)
	if err != nil {
		return err
	}
	if !bytes.Equal(aside, now) {
		return errors.Join(errOvertaken, f.disk.place(e.Temp, e.Real))
	}
	if err := f.disk.remove(e.Temp); err != nil {
		return err
	}
	if e.MadeDir {
		_ = os.Remove(filepath.Dir(e.Real)) // stays when somebody put something into it
	}
	return f.disk.syncDir(filepath.Dir(e.Real))
}

// sameBytes tells "no file" and "empty file" apart.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func parseFile(file string, data []byte) (*Document, error) {
	doc, err := Parse(data)
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return nil, &Refusal{File: file, Line: syntax.Line, Column: syntax.Column, Why: syntax.Reason,
			Remedy: "correct the file"}
	}
	return doc, err
}

func refuseFile(file string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &Refusal{File: file, Why: "no permission to read it", Remedy: "check its owner and mode"}
	}
	return err
}

func whyNotWritten(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &Refusal{File: file, Why: "no permission to write it with the owner and mode it has", Remedy: "check the file's and its folder's owner and mode"}
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: the disk is full; free some space and try again: %w", file, err)
	}
	return fmt.Errorf("%s was not written; try again: %w", file, err)
}
