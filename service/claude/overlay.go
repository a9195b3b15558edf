package claude

import (
	"maps"
	"slices"
)

// Overlay returns settings for one session (claude --settings): what base says,
// which may be nil, with these names set as a switch does. The error is a *Refusal.
// An empty agent means Claude Code's own prompt (2.1.197, 2.1.330).
func Overlay(base []byte, values map[string]string) ([]byte, error) {
	doc, err := parseFile("--settings", base)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		doc.set(name, quote(values[name]))
	}
	return doc.bytes(), nil
}

// Before returns what the names that a switch owns were set to without it, nil for
// not at all. It is empty for a target that is in the cloud.
func (l *Ledger) Before(t Target) (map[string]*string, error) {
	current, err := l.folder(t).read("entry.json")
	if err != nil || current == nil {
		return nil, err
	}
	before := map[string]*string{}
	for _, k := range current.Keys {
		before[k.Name] = k.Old
	}
	return before, nil
}
