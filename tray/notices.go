package tray

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Notice is a notification.
type Notice struct {
	Title, Text string
	Kind        Kind
	Key         string  // what it is about: a later one with the same key takes its place
	Offers      []Offer // what can be done about it, where the desktop shows buttons
}

// Kind is what a notification is about; each kind can be switched off. The
// configuration knows the same names (service.Kinds).
type Kind string

const (
	Failures  Kind = "failures"
	Settings  Kind = "settings"
	OfRunner  Kind = "runner"
	Memory    Kind = "memory"
	Sessions  Kind = "sessions"
	Pulls     Kind = "pulls"
	OfNetwork Kind = "network"
	Departure Kind = "departure"
	Updates   Kind = "updates"
)

// Offer is a notification's button.
type Offer struct {
	Label  string
	Action Action
}

// withUnseen puts a notification that no desktop showed into the menu's first lines.
func withUnseen(rows []Row, n Notice) []Row {
	if n.Title == "" {
		return rows
	}
	text, _, _ := strings.Cut(n.Text, "\n")
	rows[0].Title = short("⚠ " + n.Title)
	rows[1].Title, rows[1].Hidden = short(text), false
	return rows
}

// Notices are what a person should hear of when the State changes: a switch
// that failed, settings that somebody changed under a switch, and a session
// whose context is nearly full.
func Notices(before, after service.State) []Notice {
	var out []Notice
	if after.Failure.N > before.Failure.N {
		out = append(out, Notice{Title: words.T(after.Failure.Title), Text: after.Failure.Text, Kind: Failures, Key: "failure"})
	}
	for _, w := range after.Warnings {
		if !tellAtOnce[w.Code] || has(before.Warnings, w) {
			continue
		}
		out = append(out, Notice{Title: words.T(tellTitle[w.Code]), Text: w.Text + "\n→ " + w.Remedy, Kind: kinds[w.Code], Key: w.Code, Offers: offers(w.Code)})
	}
	if after.Raised > before.Raised {
		out = append(out, Notice{Title: words.T("Switchyard runs already"), Text: words.T("Look for its icon in the panel."), Key: "raised"})
	}
	if v := after.Update.Version; v != "" && v != before.Update.Version {
		out = append(out, Notice{Title: words.T("Switchyard %s is there", v), Text: words.T("→ the menu has a row that opens its page"), Kind: Updates, Key: "update",
			Offers: []Offer{{words.T("Open its page"), Action{Do: OpenRelease, Page: after.Update.Page}}}})
	}
	if after.Advice.N > before.Advice.N {
		name := title(after.Advice.Route)
		out = append(out, Notice{Title: words.T("Switch to %s?", name), Text: after.Advice.Text + "\n" + words.T("→ in the menu: %s", name), Kind: OfNetwork, Key: "advice",
			Offers: []Offer{{words.T("Switch to %s", name), Action{Do: SwitchTo, Route: after.Advice.Route, Sure: true}}}})
	}
	if n, ok := departureNotice(after); ok && after.Departure.N > before.Departure.N {
		out = append(out, n)
	}
	if after.Doubt != (service.Warning{}) && before.Doubt != after.Doubt {
		out = append(out, Notice{Title: words.T("It may not fit"), Text: words.T("%s. It is tried all the same.\n→ %s", after.Doubt.Text, after.Doubt.Remedy), Kind: Memory, Key: "doubt"})
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

// wasOver tells whether a pull had ended before.
func wasOver(s service.State, p service.Pull) bool {
	return slices.ContainsFunc(s.Pulls, func(b service.Pull) bool { return b.N == p.N && b.State == p.State })
}

// pullNotice tells how a pull ended. Others' failures are theirs.
func pullNotice(p service.Pull) (n Notice, ok bool) {
	name := runner.Short(runner.Full(p.Ref))
	switch p.State {
	case service.Pulled:
		title := words.T("Model ready") // its name may be long, and titles are cut
		if p.Updated {
			title = words.T("Model updated")
		}
		parts := []string{name}
		if p.Size > 0 {
			parts = append(parts, service.Size(p.Size))
		}
		if p.Context > 0 {
			parts = append(parts, words.T("context %s", service.Tokens(p.Context)))
		}
		if mark := fitMarks[p.Fit]; mark != "" {
			parts = append(parts, words.T(mark))
		}
		return Notice{Title: title, Text: strings.Join(parts, " · ") + "\n" + words.T("→ choose it in the menu: Model"), Kind: Pulls, Key: "pull " + p.Ref, Offers: []Offer{{words.T("Use it"), Action{Do: ChooseModel, Model: runner.Full(p.Ref)}}}}, true
	case service.Failing:
		return Notice{Title: words.T("Pull failed"), Text: name + ": " + p.Why + "\n→ " + p.Remedy, Kind: Pulls, Key: "pull " + p.Ref}, true
	case service.Cancelled:
		return Notice{Title: words.T("Pull cancelled"), Text: words.T("%s: what was loaded is kept: the next pull goes on from there.", name), Kind: Pulls, Key: "pull " + p.Ref}, true
	}
	return Notice{}, false
}

func wasNearlyFull(s service.State, id string) bool {
	return slices.ContainsFunc(s.Gateway.Sessions, func(g gateway.Session) bool { return g.ID == id && g.NearlyFull })
}

func nearlyFull(s service.State, g gateway.Session) Notice {
	who := words.T("A session")
	for _, known := range s.Sessions {
		if known.SessionID == g.ID && known.CWD != "" {
			who = words.T("The session in %s", filepath.Base(known.CWD))
		}
	}
	return Notice{Title: words.T("A session's context is nearly full"), Text: words.T("%s uses %.0f %% of its %s.\n→ /compact in it, or begin a new one",
		who, g.ContextUsedPct, strings.TrimSpace(words.T("%s tokens", service.Tokens(g.Context)))), Kind: Sessions, Key: "full " + g.ID}
}
