// Package sessions finds out where the requests of every running Claude Code go, and what
// to warn of.
package sessions

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Evidence is what sessions are judged by, besides the facts about each.
type Evidence struct {
	Targets []machine.Inspected // the same that Look was given
	Gateway state.Gateway
	Runner  string // the runner's own address
	Now     time.Time
}

// answers is how long after a session becomes busy the gateway must have seen a request.
const answers = 10 * time.Second

// Judge says where the next request of each session goes. stale are the sessions whose
// process was killed. again is when a result may change without an event; zero: never.
func (w Evidence) Judge(facts []Fact) (live, stale []state.Session, again time.Time) {
	live = []state.Session{}
	for _, f := range facts {
		s, due := w.judgeOne(f)
		if !due.IsZero() && (again.IsZero() || due.Before(again)) {
			again = due
		}
		if s.Stale {
			stale = append(stale, s)
			continue
		}
		live = append(live, s)
	}
	byPlace := func(a, b state.Session) int {
		return cmp.Or(strings.Compare(a.CWD, b.CWD), a.Started.Compare(b.Started), a.PID-b.PID) // process numbers start again
	}
	slices.SortFunc(live, byPlace)
	slices.SortFunc(stale, byPlace)
	return live, stale, again
}

// judgeOne trusts what the gateway saw, or else what the session's settings and arguments
// say.
func (w Evidence) judgeOne(f Fact) (s state.Session, again time.Time) {
	s = state.Session{PID: f.PID, SessionID: f.SessionID, CWD: f.CWD, Kind: kind(f.Session), Version: f.Version, Started: f.Started(), Status: f.Status,
		Route: state.Unknown, PinnedBy: f.pin, Stale: f.Stale}
	if f.Stale {
		s.Reason = words.T("its process ended without removing its record")
		return s, again
	}
	var use gateway.Session
	if i := slices.IndexFunc(w.Gateway.Sessions, func(g gateway.Session) bool { return g.ID == f.SessionID }); i >= 0 && f.SessionID != "" {
		use = w.Gateway.Sessions[i]
		s.Requests, s.InputTokens, s.OutputTokens, s.LastSeen, s.ContextUsedPct = use.Requests, use.InputTokens, use.OutputTokens, use.Last, use.ContextUsedPct
	}
	var target claude.Status
	if f.target >= 0 {
		target = w.Targets[f.target].Status
	}
	var since time.Time
	if f.pin == "" {
		since = target.Since
	}
	changed := since
	if f.decided.After(changed) {
		changed = f.decided
	}
	seen := !use.Last.IsZero() && (use.Last.After(changed.Add(machine.Reload)) || f.Started().After(changed))
	s.Route, s.Reason = w.says(f.effective)
	if seen {
		s.Route, s.Reason = claude.Local, ""
	} else {
		again = w.silent(&s, f, use, changed)
	}
	s.Model = w.model(f, s, use, target)
	s.Lean = strings.HasPrefix(f.effective.Agent, machine.LeanAgent) && (target.Agent != f.effective.Agent || !f.Started().Before(target.AgentSince))
	if s.Route == claude.Local && f.effective.Silent && (f.pin != "" || !f.Started().Before(target.Since)) {
		s.Route = claude.Offline
	}
	if s.PinnedBy == "" {
		s.PinnedBy = f.effective.ModelBy
	}
	if s.Route == claude.Cloud && f.lock != "" {
		s.Forbidden, s.Reason, s.Remedy = true, words.T("%s forbids the cloud, but this session uses it", f.lock), words.T("end it, and start it again when the route is local: switchyard local")
		return s, again
	}
	if limit := target.Since.Add(follows); w.Now.Before(limit) {
		if again.IsZero() || limit.Before(again) {
			again = limit
		}
		return s, again
	}
	behind(&s, f, target)
	return s, again
}

// silent judges a busy session that has sent a request, but not to the gateway. Until the
// limit that it returns, that may still change.
func (w Evidence) silent(s *state.Session, f Fact, use gateway.Session, changed time.Time) (again time.Time) {
	asked := f.StatusSince()
	if f.Status != "busy" || s.Route != claude.Local || f.effective.BaseURL != w.Gateway.URL || asked.IsZero() || use.Last.After(asked) {
		return time.Time{}
	}
	if limit := latest(asked, changed).Add(answers); w.Now.Before(limit) {
		return limit
	}
	s.Route, s.Reason = state.Unknown, words.T("it is busy, but has sent no request through the gateway since the switch")
	s.Remedy = words.T("it is still retrying the old address (for up to 3 minutes): press Esc there, then send the prompt again")
	return time.Time{}
}

// says is the route that a session's settings lead to.
func (w Evidence) says(effective claude.Effective) (route claude.Route, reason string) {
	switch {
	case !effective.Known:
		return state.Unknown, words.T("the system does not say how it was started")
	case effective.Provider != "":
		return claude.Cloud, ""
	case w.local(effective.BaseURL):
		return claude.Local, ""
	case Elsewhere(effective.BaseURL):
		return claude.Cloud, ""
	}
	return state.Unknown, words.T("its requests go to %s, which is not Switchyard's", machine.PlainURL(effective.BaseURL))
}

// local reports whether a base URL is the gateway, the runner, or was set by a switch.
func (w Evidence) local(base string) bool {
	if base == "" {
		return false
	}
	if base == w.Gateway.URL || w.Runner != "" && strings.TrimSuffix(base, "/anthropic") == w.Runner {
		return true
	}
	return slices.ContainsFunc(w.Targets, func(t machine.Inspected) bool {
		return t.Route != claude.Cloud && (base == t.BaseURL || base == t.Direct)
	})
}

// Elsewhere reports whether a base URL leaves this machine and its private network. An
// empty one does: it means Anthropic.
func Elsewhere(base string) bool {
	if base == "" {
		return true
	}
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast())
}

// model is the model that answers a session's requests.
func (w Evidence) model(f Fact, s state.Session, use gateway.Session, target claude.Status) string {
	switch {
	case use.Model != "" && s.Route != claude.Cloud:
		return use.Model
	case s.Route == claude.Cloud, s.Route == state.Unknown:
		return f.effective.Model
	case f.effective.Model != "" && !claude.CloudName(f.effective.Model):
		return runner.Full(f.effective.Model)
	}
	return target.Model
}

// kind is the Kind of a state.Session.
func kind(s claude.Session) string {
	switch s.Entrypoint {
	case "", "cli":
		return s.Kind
	case "sdk-cli":
		return "print"
	case "claude-vscode":
		return "vscode"
	}
	return s.Entrypoint
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
