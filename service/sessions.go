package service

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Unknown is the route of a session of which nothing says where its requests go.
const Unknown claude.Route = "unknown"

// Session is a running Claude Code.
type Session struct {
	PID       int          `json:"pid"`
	SessionID string       `json:"session_id"`
	CWD       string       `json:"cwd"`
	Kind      string       `json:"kind"` // interactive, print (claude -p), or the program that it runs in
	Version   string       `json:"version"`
	Started   time.Time    `json:"started,omitzero"`
	Status    string       `json:"status"`
	Route     claude.Route `json:"route"`     // where its next request goes; Unknown where nothing tells
	Model     string       `json:"model"`     // empty: not known
	PinnedBy  string       `json:"pinned_by"` // what keeps it from following a switch; empty: nothing does
	Stale     bool         `json:"stale"`     // its process was killed, only the record is left
	Lean      bool         `json:"lean"`      // it began with the lean profile

	Requests       int       `json:"requests"` // through the gateway
	InputTokens    int       `json:"input_tokens"`
	OutputTokens   int       `json:"output_tokens"`
	LastSeen       time.Time `json:"last_seen,omitzero"`
	ContextUsedPct float64   `json:"context_used_pct"` // after its last turn through the gateway; 0 when unknown

	Behind    bool   `json:"behind"`           // it did not follow the last switch
	Forbidden bool   `json:"forbidden"`        // it is in the cloud where that is forbidden
	Reason    string `json:"reason,omitempty"` // why it did not, or why its route is not known
	Remedy    string `json:"remedy,omitempty"`
}

// Place names a session by its folder.
func (s Session) Place() string {
	if s.CWD == "" {
		return words.T("process %d", s.PID)
	}
	return filepath.Base(s.CWD)
}

// sessionFacts is what is known of a session besides what the gateway sees.
type sessionFacts struct {
	claude.Session
	word    claude.Word
	decided time.Time // when a file that decides its route was written last
	pin     string    // the layer that decides its route in the target's place; empty: none does
	ours    bool      // switchyard run started it
	stale   bool
	lock    string // who forbids the cloud to it; empty: nobody
	target  int    // of files.status: whose settings it reads; -1: nobody's
}

// sessionsFacts is what is known of all sessions.
type sessionsFacts struct {
	sessions []sessionFacts
	places   []place // of what switchyard run started
}

// lookAtSessions reads the records of every target's folder, and what each session's
// layers say.
func (y *Yard) lookAtSessions(status []targetStatus, roster *claude.Roster, cache *claude.Files) (f sessionsFacts) {
	f.places = y.places()
	managed := y.Scope("").ManagedDir
	locks := map[string]string{} // by folder
	var all []claude.Session
	seen := map[string]bool{}
	for _, t := range status {
		dir := t.ConfigDir
		if seen[dir] {
			continue
		}
		seen[dir] = true
		live, stale, _ := roster.Look(dir)
		all = append(all, live...)
		for _, s := range live {
			p := roster.Process(s)
			scope := claude.Scope{ManagedDir: managed, ConfigDir: dir, Project: s.CWD, Environ: p.Environ, Launch: p.Launch, Files: cache}
			one := sessionFacts{Session: s, word: scope.Word(), decided: scope.Decided(), target: targetOf(status, dir, s),
				ours: slices.ContainsFunc(f.places, func(p place) bool { return p.PID == s.PID })}
			one.pin = y.pin(status, one)
			if _, known := locks[s.CWD]; !known {
				locks[s.CWD] = ""
				if lock, locked := y.Locked(s.CWD); locked {
					locks[s.CWD] = y.tilde(lock.Where())
				}
			}
			one.lock = locks[s.CWD]
			f.sessions = append(f.sessions, one)
		}
		for _, s := range stale {
			f.sessions = append(f.sessions, sessionFacts{Session: s, stale: true, target: -1})
		}
	}
	roster.Keep(all)
	return f
}

// runs counts what switchyard run started whose requests go to the gateway.
func (f sessionsFacts) runs() (n int) {
	for _, p := range f.places {
		if p.Gateway {
			n++
		}
	}
	return n
}

// targetOf is the target whose switches a session follows: its project's before the user's.
func targetOf(status []targetStatus, configDir string, s claude.Session) int {
	found := -1
	for i, t := range status {
		if t.ConfigDir != configDir || !t.Covers(s) {
			continue
		}
		if found < 0 || t.Project != "" && t.Route != claude.Cloud {
			found = i
		}
	}
	return found
}

// pin names the layer that decides where a session's requests go, when that is
// none that a switch of its target writes.
func (y *Yard) pin(status []targetStatus, s sessionFacts) string {
	at := s.word.Place
	switch {
	case s.ours && at.Layer == claude.CommandLine:
		return "switchyard run"
	case at.Layer == claude.CommandLine:
		return "--settings"
	case s.word.Provider != "":
		return s.word.Provider
	case at.File == "" || at.Layer == claude.User:
		return ""
	case slices.ContainsFunc(status, func(t targetStatus) bool { return t.File == at.File && t.Route != claude.Cloud }):
		return "" // a project that was switched alone
	}
	return y.tilde(fmt.Sprintf("%s:%d", at.File, at.Line))
}

// world is what sessions are judged against.
type world struct {
	status  []targetStatus
	gateway Gateway
	runner  string // the runner's own address
	now     time.Time
}

const (
	// follows is how long a session may take to follow a switch before it is said to be behind.
	follows = 3 * time.Second
	// answers is how soon a busy session's request must have been seen at the gateway.
	answers = 10 * time.Second
)

// judge says where a session's next request goes: what the gateway saw, else what
// its layers and arguments say. again, when not zero, is when the judgement may
// change by itself.
func (w world) judge(f sessionFacts) (s Session, again time.Time) {
	s = Session{PID: f.PID, SessionID: f.SessionID, CWD: f.CWD, Kind: kind(f.Session), Version: f.Version, Started: f.Started(), Status: f.Status,
		Route: Unknown, PinnedBy: f.pin, Stale: f.stale}
	if f.stale {
		s.Reason = words.T("its process ended without removing its record")
		return s, again
	}
	var use gateway.Session
	if i := slices.IndexFunc(w.gateway.Sessions, func(g gateway.Session) bool { return g.ID == f.SessionID }); i >= 0 && f.SessionID != "" {
		use = w.gateway.Sessions[i]
		s.Requests, s.InputTokens, s.OutputTokens, s.LastSeen, s.ContextUsedPct = use.Requests, use.InputTokens, use.OutputTokens, use.Last, use.ContextUsedPct
	}
	var target claude.Status
	if f.target >= 0 {
		target = w.status[f.target].Status
	}
	var since time.Time
	if f.pin == "" {
		since = target.Since
	}
	changed := since
	if f.decided.After(changed) {
		changed = f.decided
	}
	seen := !use.Last.IsZero() && (use.Last.After(changed.Add(reload)) || f.Started().After(changed))
	s.Route, s.Reason = w.says(f.word)
	switch {
	case seen:
		s.Route, s.Reason = claude.Local, ""
	case f.Status == "busy" && s.Route == claude.Local && f.word.BaseURL == w.gateway.URL:
		// A busy session has asked somebody; it was not the gateway.
		asked := f.StatusSince()
		if asked.IsZero() || use.Last.After(asked) {
			break
		}
		if limit := latest(asked, changed).Add(answers); w.now.Before(limit) {
			again = limit
			break
		}
		s.Route, s.Reason = Unknown, words.T("it is busy, and no request of it has come through the gateway since the switch")
		s.Remedy = words.T("if it is trying the address of before again (for up to 3 minutes): press Esc in it, and send the prompt once more")
	}
	s.Model = w.model(f, s, use, target)
	s.Lean = strings.HasPrefix(f.word.Agent, LeanAgent) && (target.Agent != f.word.Agent || !f.Started().Before(target.AgentSince))
	if s.Route == claude.Local && f.word.Silent && (f.pin != "" || !f.Started().Before(target.Since)) {
		s.Route = claude.Offline
	}
	if s.PinnedBy == "" {
		s.PinnedBy = f.word.ModelBy
	}
	if s.Route == claude.Cloud && f.lock != "" {
		s.Forbidden, s.Reason, s.Remedy = true, words.T("%s forbids the cloud, but this session uses it", f.lock), words.T("end it, and start it anew when the route is local: switchyard local")
		return s, again
	}
	if limit := target.Since.Add(follows); w.now.Before(limit) {
		if again.IsZero() || limit.Before(again) {
			again = limit
		}
		return s, again
	}
	behind(&s, f, target)
	return s, again
}

// says puts the word of a session's layers into a route.
func (w world) says(word claude.Word) (route claude.Route, reason string) {
	switch {
	case !word.Known:
		return Unknown, words.T("the system does not tell how it was started")
	case word.Provider != "":
		return claude.Cloud, ""
	case w.local(word.BaseURL):
		return claude.Local, ""
	case elsewhere(word.BaseURL):
		return claude.Cloud, ""
	}
	return Unknown, words.T("its requests go to %s, which is not Switchyard's", plainURL(word.BaseURL))
}

// local tells whether an address is the gateway, the runner, or what a switch wrote.
func (w world) local(base string) bool {
	if base == "" {
		return false
	}
	if base == w.gateway.URL || w.runner != "" && strings.TrimSuffix(base, "/anthropic") == w.runner {
		return true
	}
	return slices.ContainsFunc(w.status, func(t targetStatus) bool {
		return t.Route != claude.Cloud && (base == t.BaseURL || base == t.Direct)
	})
}

// elsewhere tells whether an address is on no private machine.
func elsewhere(base string) bool {
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

// model is the model that a session's requests get.
func (w world) model(f sessionFacts, s Session, use gateway.Session, target claude.Status) string {
	switch {
	case use.Model != "" && s.Route != claude.Cloud:
		return use.Model
	case s.Route == claude.Cloud, s.Route == Unknown:
		return f.word.Model
	case f.word.Model != "" && !cloudName(f.word.Model):
		return runner.Full(f.word.Model)
	}
	return target.Model
}

// behind says that a session did not follow its target's last switch, why, and what to do.
func behind(s *Session, f sessionFacts, target claude.Status) {
	old := !f.Started().IsZero() && f.Started().Before(target.Since) // than the switch
	here := target.Route != claude.Cloud
	say := func(reason, remedy string) { s.Behind, s.Reason, s.Remedy = true, reason, remedy }
	switch {
	case s.PinnedBy == "switchyard run":
	case here && s.Route == claude.Cloud && f.pin == "--settings":
		say(words.T("its command line pins it (--settings)"), words.T("end it, and start it without --settings"))
	case here && s.Route == claude.Cloud && f.word.Provider != "":
		say(words.T("%s sends it to another vendor", f.word.Provider), words.T("end it, and start it without that variable"))
	case here && s.Route == claude.Cloud && f.pin != "":
		say(words.T("%s decides for it", f.pin), words.T("switch its project alone: switchyard local --project %s", f.CWD))
	case here && s.Route == claude.Cloud:
		say(words.T("it does not read the settings that were switched"), words.T("end it, and start it anew"))
	case !here && s.Route != claude.Cloud && s.Route != Unknown && f.pin != "" && old:
		say(words.T("%s keeps it on the local model", f.pin), words.T("end it, and start it anew"))
	case !here && s.Route == claude.Local && f.pin == "" && old:
		say(words.T("it goes on asking the local model"), words.T("if it is trying again (for up to 3 minutes): press Esc in it, and send the prompt once more"))
	case s.Route == Unknown && s.Remedy != "" && here:
		s.Behind = true
	case target.Route == claude.Offline && s.Route == claude.Local && f.pin == "":
		say(words.T("it began before the switch to offline: Claude Code itself may still contact others in it"), words.T("start it anew: /exit, then claude --continue"))
	case here && target.Way != claude.Gateway && s.Route == claude.Local && f.word.ModelBy != "" && cloudName(f.word.Model):
		say(words.T("%s makes it ask for %s, which Model Runner does not have", f.word.ModelBy, f.word.Model), words.T("choose /model opus in it, which means the local model"))
	case here && s.Route != claude.Cloud && f.word.ModelBy != "" && !cloudName(f.word.Model) && runner.Full(f.word.Model) != target.Model:
		say(words.T("%s makes it ask for %s", f.word.ModelBy, f.word.Model), words.T("choose /model opus in it, which means the chosen model"))
	case !here && s.Route == claude.Cloud && f.word.ModelBy != "" && strings.Contains(f.word.Model, "/") && old:
		say(words.T("%s makes it ask the cloud for %s", f.word.ModelBy, f.word.Model), words.T("choose another one with /model in it"))
	}
}

// kind is what sort of Claude Code a session is.
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

// sessionsOf judges all sessions; again is when one of the judgements may change.
func (w world) sessionsOf(facts []sessionFacts) (live, stale []Session, again time.Time) {
	live = []Session{}
	for _, f := range facts {
		s, due := w.judge(f)
		if !due.IsZero() && (again.IsZero() || due.Before(again)) {
			again = due
		}
		if s.Stale {
			stale = append(stale, s)
			continue
		}
		live = append(live, s)
	}
	byPlace := func(a, b Session) int { return cmp.Or(strings.Compare(a.CWD, b.CWD), a.PID-b.PID) }
	slices.SortFunc(live, byPlace)
	slices.SortFunc(stale, byPlace)
	return live, stale, again
}

// Sessions lists the running Claude Codes, and with all the records that killed
// ones left behind.
func (y *Yard) Sessions(ctx context.Context, all bool) []Session {
	f := y.lookAtFiles(ctx)
	facts := y.lookAtSessions(f.status, &claude.Roster{}, &claude.Files{})
	w := world{status: f.status, gateway: y.lookAtGateway(ctx), now: time.Now()}
	if running, err := y.Supervised(ctx); err == nil {
		if r, err := running.Runner(ctx); err == nil {
			w.runner = r.URL
		}
	} else if found, err := y.find(ctx); err == nil {
		w.runner = found.seen.URL
	}
	live, stale, _ := w.sessionsOf(facts.sessions)
	if all {
		return append(live, stale...)
	}
	return live
}
