// Package settings reads Claude Code's settings and the ledger, and watches them for
// changes.
package settings

import (
	"context"
	"fmt"
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Files is what the settings files and the ledger say.
type Files struct {
	Targets  []state.Target
	Status   []machine.Inspected // of the same targets
	Lean     bool
	Quiet    bool // no notifications
	Warnings []state.Warning
	BaseURL  string           // of the first target, or of the environment; empty: Anthropic
	Context  int              // of the first target, in tokens
	Chosen   string           // see machine.Chosen
	Waiting  []claude.Session // those that must end before a file is fully restored
}

// Read reads every target. First it completes switches that were interrupted, and restores
// files for which no session has to end any more.
func Read(ctx context.Context, m *machine.Machine) Files {
	f := Files{Chosen: m.Chosen(), Lean: m.Lean(), Quiet: m.Quiet()}
	warn := func(code, text, remedy string) {
		f.Warnings = append(f.Warnings, state.Warning{Code: code, Text: text, Remedy: remedy})
	}
	var err error
	if f.Waiting, err = m.Ledger.Tidy(ctx); err != nil {
		what, remedy := fault.Explain(err)
		warn("ledger", words.T("an earlier switch could not be completed: %s", what), remedy)
	}
	main := m.Targets()
	switched, err := m.Ledger.Switched()
	if err != nil {
		warn("ledger", words.T("the ledger cannot be read: %v", err), words.T("your original settings are the before-… files in %s", m.Paths.Ledger()))
	}
	for i, t := range machine.Unique(append(main, switched...)) {
		status, err := m.Ledger.Inspect(t)
		if err != nil {
			continue // Tidy or Switched has reported it
		}
		if i == 0 {
			f.BaseURL, f.Context = status.BaseURL, status.Context
		}
		f.Status = append(f.Status, machine.Inspected{Target: t, Status: status})
		f.Targets = append(f.Targets, state.Target{Dir: t.Dir, File: t.File, Route: status.Route, Model: status.Model, Way: status.Way, Direct: status.Direct,
			Drift: state.List(status.Drift), Waiting: len(status.Waiting), Holders: holders(status), Empty: status.Empty})
		for _, w := range warnings(t, status) {
			w.Text = m.Tilde(w.Text)
			f.Warnings = append(f.Warnings, w)
		}
		if i >= len(main) && status.Route != claude.Cloud {
			warn("other_target", words.T("%s is %s too", t.File, status.Route), "switchyard cloud "+flagFor(t))
		}
	}
	if stronger := m.Scope("").Stronger(main[0]); stronger != nil {
		warn("stronger_layer", stronger.Where()+": "+stronger.Why, stronger.Remedy)
	}
	f.Warnings = append(f.Warnings, elsewhere(m, f.Targets)...)
	if f.BaseURL == "" {
		f.BaseURL = m.Getenv("ANTHROPIC_BASE_URL")
	}
	return f
}

// elsewhere warns of what leads Claude Code past a switch of the first target.
func elsewhere(m *machine.Machine, targets []state.Target) (all []state.Warning) {
	scope := m.Scope("")
	remedy := words.T("start claude without it, or with switchyard run")
	if name := scope.Past(); name != "" {
		all = append(all, state.Warning{Code: "goes_past", Text: words.T("%s in this environment makes Claude Code bypass its settings, so no switch affects it", name), Remedy: remedy})
	} else if name := scope.Ignores(); name != "" {
		all = append(all, state.Warning{Code: "goes_past", Text: words.T("%s in this environment makes Claude Code ignore its settings, so no switch affects it", name), Remedy: remedy})
	}
	if where, limited := scope.Limited(); limited && len(targets) > 0 && targets[0].Way == claude.Direct {
		all = append(all, state.Warning{Code: "model_limited", Text: m.Tilde(words.T("%s: enforceAvailableModels makes Claude Code ask for a cloud model, which Model Runner does not have", where)),
			Remedy: words.T("remove the line, or go through the gateway: switchyard local")})
	}
	return all
}

// holders are the sessions for whose sake variables stay "".
func holders(s claude.Status) (all []state.Holder) {
	for _, one := range s.Waiting {
		all = append(all, state.Holder{PID: one.PID, Folder: one.CWD})
	}
	return all
}

// flagFor is how "switchyard cloud" names a target.
func flagFor(t claude.Target) string {
	if t.Project != "" {
		return "--project " + t.Project
	}
	return "--target " + t.Dir
}

// warnings are the warnings about one target.
func warnings(t claude.Target, s claude.Status) []state.Warning {
	var out []state.Warning
	if s.Broken != nil {
		out = append(out, state.Warning{Code: "settings_broken", Text: words.T("%s: %s, so Claude Code ignores the file", s.Broken.Where(), s.Broken.Why), Remedy: s.Broken.Remedy})
	}
	if len(s.Drift) > 0 {
		out = append(out, state.Warning{Code: "drift", Text: words.T("%s: changed after the switch: %s", t.File, words.Some(s.Drift)),
			Remedy: words.T("switch again to set it, or leave it: going back to cloud keeps the change")})
	}
	if s.Pinned != nil {
		where := fmt.Sprintf("%s:%d", s.Pinned.File, s.Pinned.Line)
		switch {
		case s.Route != claude.Cloud && s.Pinned.Value != s.Model:
			out = append(out, state.Warning{Code: "model_pinned", Text: words.T("%s: \"model\" names %s, which new sessions will ask the local runner for", where, s.Pinned.Value),
				Remedy: words.T("remove the line, or start claude with --model opus, which means the local model")})
		case s.Route == claude.Cloud && !claude.CloudName(s.Pinned.Value) && strings.Contains(s.Pinned.Value, "/"):
			out = append(out, state.Warning{Code: "model_local", Text: words.T("%s: \"model\" names %s, which the cloud does not have", where, s.Pinned.Value),
				Remedy: words.T("choose another one with /model in claude, or remove the line")})
		}
	}
	return out
}
