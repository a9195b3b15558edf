package tray

import (
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// departureLine says how the last check before a departure went.
func departureLine(d state.Departure) string {
	name := words.T("Departure check")
	switch {
	case d.At.IsZero():
		return name
	case d.Ready && len(d.Findings) == 0:
		return words.T("%s: ready", name)
	case d.Ready:
		return words.T("%s: ready, %s", name, words.Count(len(d.Findings), "thing to know", "things to know"))
	}
	return words.T("%s: not ready", name)
}

// departureRows begins with the check itself; what it found follows, each with its remedy,
// which a click does where it can be done.
func departureRows(s state.State) []menuRow {
	d := s.Departure
	checked := menuRow{Title: words.T("Everything is ready for working offline"), Disabled: true, Hidden: !d.Ready || len(d.Findings) > 0}
	rows := []menuRow{{Title: words.T("Check now"), Disabled: s.Busy != "", Action: action{Do: checkDeparture}}, checked}
	tell := func(mark, text, remedy string, cure *state.Finding) {
		rows = append(rows, menuRow{Title: short(mark + " " + text), Disabled: true})
		row := menuRow{Title: short("    → " + remedy), Disabled: true}
		if cure != nil {
			row = menuRow{Title: short("    " + words.T("Run: %s", cure.Command)), Disabled: s.Busy != "", Action: action{Do: cureDeparture, Cure: cure.Code}}
		}
		rows = append(rows, row)
	}
	if d.Failed != "" && !slices.ContainsFunc(d.Findings, func(f state.Finding) bool { return strings.HasPrefix(f.Code, "proof_") }) {
		tell("✗", d.Failed, d.Remedy, nil)
	}
	for _, f := range d.Findings {
		mark := "✗"
		if f.Severity == state.SeverityWarning {
			mark = "!"
		}
		var cure *state.Finding
		if f.Fixable {
			cure = &f
		}
		tell(mark, f.Text, f.Advice(), cure)
	}
	return rows
}

// departureNotice tells what a check before a departure found. A switch that failed is
// told by itself.
func departureNotice(s state.State) (n notice, ok bool) {
	d := s.Departure
	var lines []string
	for _, f := range d.Findings {
		if d.Ready || f.Severity == state.SeverityError {
			lines = append(lines, f.Text)
		}
	}
	if more := len(lines) - 2; more > 0 {
		lines = append(lines[:2], words.T("and %d more", more))
	}
	switch {
	case d.Ready && len(lines) == 0:
		return notice{Title: words.T("Ready for departure"), Text: words.T("The model answers and calls tools. Everything is ready for working offline."), Kind: kindDeparture, Key: "departure"}, true
	case d.Ready:
		return notice{Title: words.T("Ready for departure, with warnings"), Text: strings.Join(lines, "\n") + "\n" + words.T("→ see the menu: Departure check"), Kind: kindDeparture, Key: "departure"}, true
	case len(lines) == 0:
		return notice{Title: words.T("Not ready for departure"), Text: d.Failed + "\n→ " + d.Remedy, Kind: kindDeparture, Key: "departure"}, true
	}
	return notice{Title: words.T("Not ready for departure"), Text: strings.Join(lines, "\n") + "\n" + words.T("→ see the menu: Departure check"), Kind: kindDeparture, Key: "departure"}, true
}
