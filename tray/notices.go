package tray

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// notice is a notification.
type notice struct {
	Title, Text string
	Kind        kind
	Key         string  // what it is about: a later one with the same key takes its place
	Offers      []offer // what can be done about it, where the desktop shows buttons
}

// kind is what a notification is about; each kind can be switched off. The
// configuration knows the same names (service.Kinds).
type kind string

const (
	kindFailures  kind = "failures"
	kindSettings  kind = "settings"
	kindRunner    kind = "runner"
	kindMemory    kind = "memory"
	kindSessions  kind = "sessions"
	kindPulls     kind = "pulls"
	kindNetwork   kind = "network"
	kindDeparture kind = "departure"
	kindUpdates   kind = "updates"
)

// offer is a notification's button.
type offer struct {
	Label  string
	Action action
}

// withUnseen puts a notification that no desktop showed into the menu's first lines.
func withUnseen(rows []menuRow, n notice) []menuRow {
	if n.Title == "" {
		return rows
	}
	text, _, _ := strings.Cut(n.Text, "\n")
	rows[0].Title = short("⚠ " + n.Title)
	rows[1].Title, rows[1].Hidden = short(text), false
	return rows
}

// noticesOf is what the user should be told when the State changes: a switch
// that failed, settings that were changed after a switch, and a session
// whose context is nearly full.
func noticesOf(before, after state.State) []notice {
	var out []notice
	fresh := after.FailuresSince(before)
	for i, f := range fresh {
		key := "failure" // replaces the previous one, but none that came with it
		if i < len(fresh)-1 {
			key = fmt.Sprintf("failure %d", f.N)
		}
		out = append(out, notice{Title: words.T(f.Title), Text: f.Text, Kind: kindFailures, Key: key})
	}
	for _, w := range after.Warnings {
		telling, ok := tellings[w.Code]
		if !ok || has(before.Warnings, w) || telling.learned && before.Model != after.Model {
			continue
		}
		out = append(out, notice{Title: words.T(telling.title), Text: w.Text + "\n→ " + w.Remedy, Kind: telling.kind, Key: w.Code, Offers: offers(w.Code)})
	}
	if after.Raised > before.Raised {
		out = append(out, notice{Title: words.T("Switchyard is already running"), Text: words.T("Look for its icon in the panel."), Key: "raised"})
	}
	if v := after.Update.Version; v != "" && v != before.Update.Version {
		out = append(out, notice{Title: words.T("Switchyard %s is available", v), Text: words.T("→ open its page from the menu"), Kind: kindUpdates, Key: "update",
			Offers: []offer{{words.T("Open its page"), action{Do: openRelease, Page: after.Update.Page}}}})
	}
	if after.Advice.N > before.Advice.N {
		name := title(after.Advice.Route)
		out = append(out, notice{Title: words.T("Switch to %s?", name), Text: after.Advice.Text + "\n" + words.T("→ in the menu: %s", name), Kind: kindNetwork, Key: "advice",
			Offers: []offer{{words.T("Switch to %s", name), action{Do: switchTo, Route: after.Advice.Route, Sure: true}}}})
	}
	if n, ok := departureNotice(after); ok && after.Departure.N > before.Departure.N {
		out = append(out, n)
	}
	if after.Doubt != (state.Warning{}) && before.Doubt != after.Doubt {
		out = append(out, notice{Title: words.T("It may not fit"), Text: words.T("%s. Trying anyway.\n→ %s", after.Doubt.Text, after.Doubt.Remedy), Kind: kindMemory, Key: "doubt"})
	}
	for _, p := range after.Pulls {
		if n, ok := pullNotice(p); ok && !wasOver(before, p) {
			out = append(out, n)
		}
	}
	for _, session := range after.Gateway.Sessions {
		if session.NearlyFull && !wasNearlyFull(before, session.ID) {
			out = append(out, nearlyFull(after, session))
		}
	}
	return out
}

// wasOver reports whether a pull had ended before.
func wasOver(s state.State, p state.Pull) bool {
	return slices.ContainsFunc(s.Pulls, func(b state.Pull) bool { return b.N == p.N && b.State == p.State })
}

// pullNotice tells how a pull ended. Others' failures are theirs.
func pullNotice(p state.Pull) (n notice, ok bool) {
	name := runner.Short(runner.Full(p.Ref))
	switch p.State {
	case state.PullDone:
		title := words.T("Model ready") // its name may be long, and titles are cut
		if p.Updated {
			title = words.T("Model updated")
		}
		parts := []string{name}
		if p.Size > 0 {
			parts = append(parts, words.Size(p.Size))
		}
		if p.Context > 0 {
			parts = append(parts, words.T("context %s", words.Tokens(p.Context)))
		}
		if mark := fitMarks[p.Fit]; mark != "" {
			parts = append(parts, words.T(mark))
		}
		return notice{Title: title, Text: strings.Join(parts, " · ") + "\n" + words.T("→ choose it in the menu: Model"), Kind: kindPulls, Key: "pull " + p.Ref, Offers: []offer{{words.T("Use it"), action{Do: chooseModel, Model: runner.Full(p.Ref)}}}}, true
	case state.PullFailed:
		return notice{Title: words.T("Pull failed"), Text: name + ": " + p.Why + "\n→ " + p.Remedy, Kind: kindPulls, Key: "pull " + p.Ref}, true
	case state.Cancelled:
		return notice{Title: words.T("Pull cancelled"), Text: words.T("%s: what was downloaded is kept, and the next pull resumes.", name), Kind: kindPulls, Key: "pull " + p.Ref}, true
	}
	return notice{}, false
}

func wasNearlyFull(s state.State, id string) bool {
	return slices.ContainsFunc(s.Gateway.Sessions, func(g gateway.Session) bool { return g.ID == id && g.NearlyFull })
}

func nearlyFull(s state.State, g gateway.Session) notice {
	who := words.T("A session")
	for _, known := range s.Sessions {
		if known.SessionID == g.ID && known.CWD != "" {
			who = words.T("The session in %s", filepath.Base(known.CWD))
		}
	}
	return notice{Title: words.T("A session's context is nearly full"), Text: words.T("%s uses %.0f %% of its %s.\n→ run /compact in it, or start a new one",
		who, g.ContextUsedPct, strings.TrimSpace(words.T("%s tokens", words.Tokens(g.Context)))), Kind: kindSessions, Key: "full " + g.ID}
}
