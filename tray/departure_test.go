package tray

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/state"
)

// The card of a departure check, as the menu and a notification say it.
func TestDeparture(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	login := state.Finding{Code: "login_expired", Severity: state.SeverityWarning, Text: "the login has expired", Remedy: "renew it"}
	first := state.Finding{Code: "claude_new", Severity: state.SeverityError, Text: "Claude Code was never started", Remedy: "start it", Command: "claude", Fixable: true}
	pull := state.Finding{Code: "proof_model", Severity: state.SeverityError, Text: "there is no model ai/x", Remedy: "pull it", Command: "switchyard pull ai/x", Fixable: true}
	for name, c := range map[string]struct {
		departure          state.Departure
		line, rows, notice string
	}{
		"never checked": {state.Departure{}, "Departure check", "Check now", ""},
		"ready":         {state.Departure{N: 1, At: at, Ready: true}, "Departure check: ready", "Check now|Everything is ready for working offline", "Ready for departure"},
		"ready, but": {state.Departure{N: 1, At: at, Ready: true, Findings: []state.Finding{login}}, "Departure check: ready, 1 thing to know",
			"Check now|! the login has expired|    → renew it", "Ready for departure, with warnings|the login has expired\n→ see the menu: Departure check"},
		"not ready": {state.Departure{N: 1, At: at, Findings: []state.Finding{first, login}}, "Departure check: not ready",
			"Check now|✗ Claude Code was never started|    Run: claude|! the login has expired|    → renew it", "Not ready for departure|Claude Code was never started\n→ see the menu: Departure check"},
		"a proof that can be cured": {state.Departure{N: 1, At: at, Failed: "there is no model ai/x", Remedy: "pull it", Findings: []state.Finding{pull}}, "Departure check: not ready",
			"Check now|✗ there is no model ai/x|    Run: switchyard pull ai/x", "Not ready for departure|there is no model ai/x\n→ see the menu: Departure check"},
		"a proof that cannot": {state.Departure{N: 1, At: at, Failed: "the model does not answer", Remedy: "choose another"}, "Departure check: not ready",
			"Check now|✗ the model does not answer|    → choose another", "Not ready for departure|the model does not answer\n→ choose another"},
	} {
		s := state.State{Departure: c.departure}
		if got := departureLine(s.Departure); got != c.line {
			t.Errorf("%s: the row says %q", name, got)
		}
		var rows []string
		for _, row := range departureRows(s) {
			if !row.Hidden {
				rows = append(rows, row.Title)
			}
		}
		if got := strings.Join(rows, "|"); got != c.rows {
			t.Errorf("%s: the rows say %q", name, got)
		}
		notice := ""
		for _, n := range noticesOf(state.State{}, s) {
			notice += n.Title + "|" + n.Text
		}
		if !strings.HasPrefix(notice, c.notice) || c.notice == "" && notice != "" {
			t.Errorf("%s: told %q", name, notice)
		}
		if again := noticesOf(s, s); len(again) > 0 {
			t.Errorf("%s: told again: %v", name, again)
		}
	}
}

// The configuration knows the kinds of notifications that there are.
func TestTheKinds(t *testing.T) {
	kinds := []kind{kindFailures, kindSettings, kindRunner, kindMemory, kindSessions, kindPulls, kindNetwork, kindDeparture, kindUpdates}
	if len(kinds) != len(config.Kinds) {
		t.Errorf("%d kinds here, %d there", len(kinds), len(config.Kinds))
	}
	for _, kind := range kinds {
		if !slices.Contains(config.Kinds, string(kind)) {
			t.Errorf("the configuration lacks %s", kind)
		}
	}
}
