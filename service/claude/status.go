package claude

import (
	"errors"
	"os"
	"slices"
	"time"
)

// Status is what a target's settings file says now.
type Status struct {
	Route      Route     // what the ledger and the file agree on
	BaseURL    string    // what the file sends requests to; empty: Anthropic
	Model      string    // the model of the local or offline route
	Context    int       // its context in tokens, as Claude Code is told
	Way        Way       // how requests get there
	Direct     string    // the runner's own address, when Way is Gateway
	Token      string    // what the file authenticates requests with
	Since      time.Time // when Route came into force; zero when that is not known
	Agent      string    // the agent file that new sessions take; empty: their own choice
	AgentSince time.Time
	Drift      []string  // owned keys that were changed after the switch
	Waiting    []Session // sessions that still see keys as "" after a return to cloud
	Empty      []string  // these keys
	Pinned     *Place    // a "model" setting that names one model rather than an alias
	Broken     *Refusal  // the file cannot be read, so Claude Code skips it
}

// Inspect reads a target without changing or locking anything. The error is
// only about the ledger; what is wrong with the file is in Broken.
func (l *Ledger) Inspect(t Target) (Status, error) {
	status := Status{Route: Cloud}
	current, err := l.folder(t).read("entry.json")
	if err != nil {
		return status, err
	}
	doc, err := load(t.File)
	if err != nil {
		if !errors.As(err, &status.Broken) {
			status.Broken = &Refusal{File: t.File, Why: "it cannot be read", Remedy: "check its owner and mode"}
		}
		return status, nil
	}
	if doc == nil {
		doc, _ = parse(nil)
	}
	status.read(doc, t.File)
	switch {
	case current == nil:
		status.Since = l.folder(t).lastEnd()
	case current.returning():
		status.Since = current.Since
		status.Waiting = stillRunning(current.Waiting)
		status.Empty = current.stillEmpty(doc)
	default:
		status.compare(doc, current)
	}
	return status, nil
}

// read fills in what the file says without the ledger.
func (status *Status) read(doc *document, file string) {
	if v, ok := doc.variable(baseURLKey); ok {
		status.BaseURL = v.Value
	}
	if v, ok := doc.variable(tokenKey); ok {
		status.Token = v.Value
	}
	if v, ok := doc.text("model"); ok && !alias(v.Value) {
		status.Pinned = &Place{User, file, v.Line, v.Value}
	}
}

// stillEmpty are the keys that are "" in the file for the sake of sessions.
func (e *entry) stillEmpty(doc *document) (names []string) {
	for _, k := range e.Keys {
		if k.Old == nil && k.New != nil && *k.New == "" && same(doc.value(k.Name), k.New) {
			names = append(names, k.Name)
		}
	}
	return names
}

// compare finds what of the current entry still stands in the file.
func (status *Status) compare(doc *document, current *entry) {
	if status.BaseURL == current.BaseURL {
		status.Route, status.Model, status.Context = current.Route, current.Model, current.Context
		status.Way, status.Direct, status.Since = current.Way, current.Direct, current.Since
		if current.Agent != nil {
			status.Agent, status.AgentSince = current.Agent.Name, current.Agent.At
		}
	}
	undone := true
	for _, k := range current.Keys {
		present := doc.value(k.Name)
		undone = undone && same(present, k.Old)
		switch {
		case same(present, k.New):
		case k.Name == baseURLKey: // what matters most comes first
			status.Drift = slices.Insert(status.Drift, 0, k.Name)
		default:
			status.Drift = append(status.Drift, spoken(k.Name))
		}
	}
	if undone {
		status.Drift = nil // put back by hand: nothing is left to say
	}
}

// modified is when a file was written last; zero when it cannot be told.
func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
