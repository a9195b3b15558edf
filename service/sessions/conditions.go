package sessions

import (
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	longWait  = 30 * time.Second // in the queue, before there is a warning
	ActiveFor = 10 * time.Minute // how long after its last request a session counts as using its model
)

// condition is something to warn of while it lasts.
type condition struct {
	episode string // its name; the text of the warning may change
	warning state.Warning
	reached bool      // the warning begins
	held    bool      // a warning that has begun continues
	again   time.Time // when to check again without an event; zero: never
}

// Episodes remembers which warnings have begun, so that a warning does not come and go: it
// begins when its condition is reached, and lasts while the condition is held.
type Episodes map[string]bool

// Update takes the current conditions. It returns the current warnings, and when to check
// again without an event; zero: never.
func (e Episodes) Update(conditions []condition) (warnings []state.Warning, again time.Time) {
	now := map[string]bool{}
	for _, c := range conditions {
		if c.reached || e[c.episode] && c.held {
			now[c.episode] = true
			warnings = append(warnings, c.warning)
		}
		if !c.again.IsZero() && (again.IsZero() || c.again.Before(again)) {
			again = c.again
		}
	}
	clear(e)
	for name := range now {
		e[name] = true
	}
	return warnings, again
}

// Conditions are all conditions about sessions, reached or not.
func Conditions(s state.State, now time.Time) []condition {
	all := []condition{forbidden(s), left(s)}
	for _, load := range s.Gateway.Loads {
		all = append(all, crowd(s, load, now), wait(load, now))
	}
	for _, session := range s.Sessions {
		all = append(all, full(s, session))
	}
	return append(all, twoModels(s, now))
}

// left warns of sessions that did not follow a switch.
func left(s state.State) condition {
	var names []string
	var first state.Session
	for _, one := range s.Sessions {
		if !one.Behind {
			continue
		}
		if len(names) == 0 {
			first = one
		}
		names = append(names, one.Name())
	}
	w := state.Warning{Code: "sessions_behind", Remedy: first.Remedy}
	if s.Route == claude.Offline {
		w.Code = "offline_leak"
	}
	switch {
	case len(names) == 1:
		w.Text = words.T("the session in %s did not follow: %s", names[0], first.Reason)
	case len(names) > 1:
		w.Text = words.T("%d sessions did not follow: %s", len(names), words.Some(names))
		w.Remedy = words.T("run switchyard sessions to see why, and what to do")
	}
	return condition{episode: "behind", warning: w, reached: len(names) > 0}
}

// forbidden warns of sessions that use the cloud where that is forbidden.
func forbidden(s state.State) condition {
	var names []string
	var first state.Session
	for _, one := range s.Sessions {
		if one.Forbidden {
			if len(names) == 0 {
				first = one
			}
			names = append(names, one.Name())
		}
	}
	w := state.Warning{Code: "cloud_forbidden", Remedy: first.Remedy}
	switch {
	case len(names) == 1:
		w.Text = words.T("the session in %s uses the cloud, which is forbidden there", names[0])
	case len(names) > 1:
		w.Text = words.T("%d sessions use the cloud, which is forbidden there: %s", len(names), words.Some(names))
	}
	return condition{episode: "forbidden", warning: w, reached: len(names) > 0}
}

// recent are the running sessions that have sent a request lately. ends is when the next of
// them no longer counts.
func recent(s state.State, now time.Time) (all []gateway.Session, ends time.Time) {
	for _, g := range s.Gateway.Sessions {
		if g.Requests == 0 || !slices.ContainsFunc(s.Sessions, func(live state.Session) bool { return live.SessionID == g.ID }) {
			continue
		}
		end := g.Last.Add(ActiveFor)
		if g.Running == 0 && !now.Before(end) {
			continue
		}
		all = append(all, g)
		if ends.IsZero() || end.Before(ends) {
			ends = end
		}
	}
	if !ends.After(now) {
		ends = time.Time{}
	}
	return all, ends
}

// crowd warns of more sessions on a model than it handles at a time.
func crowd(s state.State, load gateway.Load, now time.Time) condition {
	users, ends := recent(s, now)
	n := 0
	for _, u := range users {
		if u.Model == load.Model {
			n++
		}
	}
	name := runner.Short(load.Model)
	remedy := words.T("end some, or raise parallel in the configuration")
	if load.Model == s.Model && s.Context > 0 && s.Context/runner.MinContext <= load.Slots {
		remedy = words.T("end some, or use a larger context: switchyard context %s %s", name, words.Tokens(n*runner.MinContext))
	}
	return condition{
		episode: "crowded " + load.Model,
		warning: state.Warning{Code: "sessions_crowded", Remedy: remedy,
			Text: words.T("%d sessions share %s, which handles %d at a time, so they queue", n, name, load.Slots)},
		reached: load.Slots > 0 && n > load.Slots,
		held:    n > 1 && n >= load.Slots,
		again:   ends,
	}
}

// wait warns of a request that has been queueing for long.
func wait(load gateway.Load, now time.Time) condition {
	c := condition{
		episode: "queue " + load.Model,
		warning: state.Warning{Code: "queue_long", Remedy: words.T("end a session, or use a smaller model for small tasks"),
			Text: words.T("%s for %s, the first for more than %d s", words.Count(load.Waiting, "request waits", "requests wait"), runner.Short(load.Model), int(longWait.Seconds()))},
		held: load.Waiting > 0,
	}
	if load.Waiting == 0 {
		return c
	}
	due := load.Oldest.Add(longWait)
	if c.reached = !now.Before(due); !c.reached {
		c.again = due
	}
	return c
}

// full warns of a session whose context is nearly full. The gateway decides when that ends.
func full(s state.State, one state.Session) condition {
	i := slices.IndexFunc(s.Gateway.Sessions, func(g gateway.Session) bool { return g.ID == one.SessionID && g.NearlyFull })
	if i < 0 || one.SessionID == "" {
		return condition{episode: "full " + one.SessionID}
	}
	g := s.Gateway.Sessions[i]
	return condition{episode: "full " + one.SessionID, reached: true, warning: state.Warning{Code: "context_full", Remedy: words.T("type /compact there, or start a new session"),
		Text: words.T("the session in %s uses %.0f %% of its %s tokens", one.Name(), g.ContextUsedPct, words.Tokens(g.Context))}}
}

// twoModels warns of sessions with different models that are not in memory together.
func twoModels(s state.State, now time.Time) condition {
	users, ends := recent(s, now)
	var names []string
	together := true
	for _, u := range users {
		if u.Model == "" || slices.Contains(names, runner.Short(u.Model)) {
			continue
		}
		names = append(names, runner.Short(u.Model))
		together = together && slices.ContainsFunc(s.Models, func(m state.Model) bool { return m.Tag == u.Model && m.Loaded })
	}
	return condition{
		episode: "two models",
		warning: state.Warning{Code: "two_models", Remedy: words.T("give them the same model (/model opus in a session means the chosen one), or choose smaller ones"),
			Text: words.T("sessions need %s, which are not in memory together: every change reloads one", strings.Join(names, words.T(" and ")))},
		reached: len(names) > 1 && !together,
		held:    len(names) > 1,
		again:   ends,
	}
}
