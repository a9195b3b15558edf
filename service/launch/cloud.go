package launch

import (
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/sessions"
)

// cloudValues are the variables for a session in the cloud: the values from before Claude
// Code was pointed to this machine, by Switchyard or by hand.
func cloudValues(m *machine.Machine, folder string) (map[string]string, error) {
	values := map[string]string{}
	targets, err := m.Ledger.Switched()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(targets, func(a, b claude.Target) int { return len(a.Project) - len(b.Project) }) // a project's come last, and take precedence
	for _, t := range targets {
		if t.ConfigDir != m.ConfigDir() || !t.Covers(claude.Session{CWD: folder}) {
			continue
		}
		before, err := m.Ledger.Before(t)
		if err != nil {
			return nil, err
		}
		for name, value := range before {
			switch {
			case value != nil:
				values[name] = *value
			case values[name] == "":
				values[name] = m.Getenv(name)
			}
		}
	}
	if len(values) > 0 {
		return values, nil
	}
	settings, _ := m.Scope(folder).Explain()
	i := slices.IndexFunc(settings, func(s claude.Setting) bool { return s.Name == "ANTHROPIC_BASE_URL" })
	if i < 0 || sessions.Elsewhere(settings[i].Value) {
		return values, nil
	}
	for _, s := range settings {
		if claude.Owned(s.Name) || s.Name == "ANTHROPIC_MODEL" && strings.Contains(s.Value, "/") && !claude.CloudName(s.Value) {
			values[s.Name] = ""
		}
	}
	return values, nil
}
