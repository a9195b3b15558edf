package claude

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// extra are the variables besides the route's own that the last switch to a local
// route set. What they hide is not seen any more, so the next one sets them too.
func (e *entry) extra() map[string]string {
	values := map[string]string{}
	if e == nil || e.returning() {
		return values
	}
	for _, k := range e.Keys {
		if !Owned(k.Name) && k.New != nil && k.Name != agentKey {
			values[k.Name] = *k.New
		}
	}
	return values
}

// base is the settings file as it would be without Switchyard: the very bytes
// from before when no other program touched it, else the present file with the owned
// keys put back. kept names owned keys that were changed since.
func (f folder) base(file string, now []byte, current *entry) (base []byte, kept []string, err error) {
	if current == nil {
		return now, nil, nil
	}
	before, whole := f.before(current)
	if whole && sum(now) == current.After {
		return before, nil, nil
	}
	if now == nil {
		return nil, nil, nil // the file was removed: nothing of ours is left
	}
	doc, err := parseFile(file, now)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range current.Keys {
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
	if current.MadeEnv {
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
func emptied(current *entry, base []byte) map[string]string {
	values := map[string]string{}
	doc, err := parse(base)
	if err != nil {
		return nil
	}
	for _, k := range current.Keys {
		if k.New != nil && doc.value(k.Name) == nil && k.Name != agentKey && strings.ToUpper(k.Name) != noProxyKey {
			values[k.Name] = ""
		}
	}
	return values
}

// edit returns base with the values in it, and records for each owned key what
// is wanted, what stands there without us and what stood there just now.
func (e *entry) edit(now, base []byte, values map[string]string, current *entry) ([]byte, error) {
	e.Keys = nil
	doc, err := parseFile(e.Target.File, base)
	if err != nil {
		return nil, err
	}
	present, err := parse(now)
	if err != nil {
		return nil, err
	}
	e.MadeEnv = doc.env() == nil
	names := slices.Collect(maps.Keys(values))
	if current != nil {
		for _, k := range current.Keys {
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

func parseFile(file string, data []byte) (*document, error) {
	doc, err := parse(data)
	var syntax *syntaxError
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
