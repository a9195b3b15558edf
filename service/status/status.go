// Package status puts a State together: once for a command, or repeatedly for the
// supervisor.
package status

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Look reads everything, and asks the running Switchyard, if there is one.
func Look(ctx context.Context, m *machine.Machine) state.State {
	var s state.State
	var both sync.WaitGroup
	var shapes []runner.Model
	both.Go(func() { s.Runner, s.Models, shapes = models.Look(ctx, m) })
	both.Go(func() { s.VRAM = memory.Read(ctx, m) })
	var reported state.Runner
	if running, err := control.Find(ctx, m); err == nil {
		s.Gateway, _ = running.Gateway(ctx)
		reported, _ = running.Runner(ctx)
		s.Pulls, _ = running.Pulls(ctx)
	}
	f := settings.Read(ctx, m)
	facts := sessions.Look(m, f.Status, &claude.Roster{}, &claude.Files{})
	both.Wait()
	s.Models = models.Fits(m, s.Models, shapes, s.VRAM)
	// Only the supervisor knows what is being done with the runner, or why it was given
	// up. If both agree, it knows more.
	if reported.State == state.Starting || reported.State == state.RunnerFailed || reported.State == s.Runner.State && reported.Engine == s.Runner.Engine {
		reported.Exposed, reported.OpenOrigins = s.Runner.Exposed, s.Runner.OpenOrigins
		s.Runner = reported
	}
	s, _ = Complete(m, s, f, facts, sessions.Episodes{}, time.Now())
	return s
}

// Complete adds to a State what the files and sessions say, and all that follows from it.
// s has the runner, models and gateway already. again is when the result may change
// without an event; zero: never.
func Complete(m *machine.Machine, s state.State, f settings.Files, facts sessions.Facts, begun sessions.Episodes, now time.Time) (_ state.State, again time.Time) {
	s.Targets, s.Chosen, s.Lean, s.Runs, s.Locked = state.List(f.Targets), f.Chosen, f.Lean, facts.Runs(), m.Config.Cloud == config.Never
	s.Version, s.Quiet = m.Version, f.Quiet
	s.Sessions, _, again = sessions.Evidence{Targets: f.Status, Gateway: s.Gateway, Runner: s.Runner.URL, Now: now}.Judge(facts.Sessions)
	s.Models, s.Pulls = state.List(s.Models), state.List(s.Pulls)
	s.BaseURL, s.Context = machine.PlainURL(f.BaseURL), f.Context
	if len(f.Status) > 0 {
		s.Since = f.Status[0].Since
	}
	s = s.Derive(append(append(state.List(m.Warnings), f.Warnings...), s.Warnings...))
	warnings, due := begun.Update(sessions.Conditions(s, now))
	s.Warnings = append(s.Warnings, warnings...)
	if !due.IsZero() && (again.IsZero() || due.Before(again)) {
		again = due
	}
	// Claude Code was pointed to the runner, but not by Switchyard.
	if s.Route == claude.Cloud && s.Runner.URL != "" && strings.TrimSuffix(s.BaseURL, "/anthropic") == s.Runner.URL {
		s.Route = claude.Local
		if len(s.Targets) > 0 {
			s.Targets = slices.Clone(s.Targets)
			s.Targets[0].Route = claude.Local
		}
		s.Warnings = append(s.Warnings, state.Warning{Code: "set_by_hand", Text: words.T("ANTHROPIC_BASE_URL points to Model Runner, but Switchyard did not set it"),
			Remedy: words.T("switchyard explain shows where it is set; switchyard local sets all that Claude Code needs there")})
	}
	return s, again
}

// Sessions lists the running sessions of Claude Code; with all, also the records of killed
// ones.
func Sessions(ctx context.Context, m *machine.Machine, all bool) []state.Session {
	f := settings.Read(ctx, m)
	facts := sessions.Look(m, f.Status, &claude.Roster{}, &claude.Files{})
	w := sessions.Evidence{Targets: f.Status, Gateway: control.GatewayState(ctx, m), Now: time.Now()}
	if running, err := control.Find(ctx, m); err == nil {
		if r, err := running.Runner(ctx); err == nil {
			w.Runner = r.URL
		}
	} else if found, err := localrunner.Find(ctx, m); err == nil {
		w.Runner = found.Seen.URL
	}
	live, stale, _ := w.Judge(facts.Sessions)
	if all {
		return append(live, stale...)
	}
	return live
}
