package state

import (
	"slices"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Derive returns s with route, model and warnings set from the rest. The warnings that
// follow from s are added to the given ones.
func (s State) Derive(warnings []Warning) State {
	s.Warnings = warnings
	s.Route, s.Model = claude.Cloud, ""
	if len(s.Targets) > 0 {
		s.Route, s.Model = s.Targets[0].Route, s.Targets[0].Model
	}
	if s.GatewayInUse() && s.Gateway.URL == "" {
		s.Warnings = append(s.Warnings, Warning{"gateway_down", words.T("Claude Code is pointed to Switchyard's gateway, which is not running"),
			words.T("start Switchyard (switchyard), or go without it: switchyard local --direct")})
	}
	if s.Route != claude.Cloud || s.Runs > 0 {
		if w, ok := s.Runner.Warning(); ok {
			s.Warnings = append(s.Warnings, w)
		}
		s.Warnings = append(s.Warnings, s.Runner.Exposure()...)
		if s.Runner.State == Running && s.Model != "" && !slices.ContainsFunc(s.Models, func(m Model) bool { return m.Tag == s.Model || m.ID == s.Model }) {
			s.Warnings = append(s.Warnings, Warning{"model_missing", words.T("Model Runner no longer has %s", runner.Short(s.Model)),
				words.T("pull it (switchyard pull %s) or choose another model", runner.Short(s.Model))})
		}
		if i := slices.IndexFunc(s.Models, func(m Model) bool { return m.Tag == s.Model && m.Unfit() }); i >= 0 {
			s.Warnings = append(s.Warnings, s.Models[i].UnfitWarning())
		}
	}
	return s
}

// Needs is what Claude Code currently needs of the runner.
func (s State) Needs() Needs {
	if s.Route == claude.Cloud && s.Runs == 0 {
		return Needs{}
	}
	return Needs{Route: true, Model: s.Model}
}

// Digest is the id of the model with a tag; empty if there is none.
func (s State) Digest(tag string) string {
	for _, m := range s.Models {
		if m.Tag == tag {
			return m.ID
		}
	}
	return ""
}

// GatewayInUse reports whether Claude Code is pointed to the gateway, by any settings or
// in a session of switchyard run.
func (s State) GatewayInUse() bool {
	if s.Runs > 0 {
		return true
	}
	for _, t := range s.Targets {
		if t.Way == claude.Gateway {
			return true
		}
	}
	return false
}

// LimitContext lowers the context of m to what Claude Code was told in the switch.
func (s State) LimitContext(m gateway.Model) gateway.Model {
	if m.Tag == s.Model && s.Context > 0 && (m.Context == 0 || s.Context < m.Context) {
		m.Context = s.Context
	}
	return m
}

// Usable reports whether there is a model to switch to.
func (s State) Usable() bool { return s.Chosen != "" || len(s.Models) > 0 }

// Fallback names the model that a switch would take, for a message.
func (s State) Fallback() string {
	if s.Chosen != "" {
		return runner.Short(s.Chosen)
	}
	return words.T("a local model")
}

// List is a copy that JSON writes as [], never as null.
func List[T any](items []T) []T { return append(make([]T, 0, len(items)), items...) }
