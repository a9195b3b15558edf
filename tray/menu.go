// Package tray is Switchyard's desktop face: an icon, a menu, notifications.
// What they show is computed by pure functions of the State; the rest of the
// package only applies the difference.
package tray

import (
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// action is what a click on a row asks for.
type action struct {
	Do      verb
	Context int              // for resizeModel: tokens
	Sure    bool             // for switchTo: leaving the offline route was confirmed
	Route   claude.Route     // for switchTo
	Model   string           // for chooseModel
	Want    localrunner.Verb // for controlRunner
	Lean    bool             // for toggleLean: what to set
	On      bool             // for toggleAutostart and toggleNotifications: what to set
	Page    string           // for openRelease
	Cure    string           // for cureDeparture: the finding's code
}

// verb is a kind of action.
type verb int

const (
	nothing verb = iota
	switchTo
	chooseModel
	pullModel
	cancelPull
	resizeModel
	controlRunner
	toggleLean
	openRunnerLog
	toggleAutostart
	openConfig
	openRelease
	toggleNotifications
	checkDeparture
	cureDeparture
	quit // leave the settings as they are
	cloudThenQuit
)

// menuRow is one line of the menu. Rows of one place keep their number and order:
// what is not there now is hidden.
type menuRow struct {
	Title     string
	Checkable bool
	Checked   bool
	Disabled  bool
	Hidden    bool
	Separator bool
	Action    action
	Rows      []menuRow // a submenu; its rows may grow in number, never shrink
}

// maxTitle keeps the menu from growing over the screen.
const maxTitle = 72

// menuFor lays the whole menu out.
func menuFor(s state.State) []menuRow {
	inCloud := s.Route == claude.Cloud
	return []menuRow{
		{Title: headline(s), Disabled: true},
		{Title: secondLine(s), Disabled: true, Hidden: secondLine(s) == ""},
		{Separator: true},
		cloudRow(s),
		{Title: words.T("Cloud…"), Hidden: s.Route != claude.Offline || s.Locked, Rows: []menuRow{
			{Title: words.T("End offline: Claude Code talks to Anthropic again"), Action: action{Do: switchTo, Route: claude.Cloud, Sure: true}},
		}},
		routeRow(s, claude.Local),
		routeRow(s, claude.Offline),
		{Title: departureLine(s.Departure), Rows: departureRows(s)},
		{Separator: true},
		{Title: words.T("Model"), Rows: modelRows(s)},
		{Title: contextLine(s), Disabled: s.Model == "", Rows: contextRows(s)},
		{Title: sessionsLine(s), Rows: sessionRows(s)},
		{Title: pullsLine(s), Hidden: len(activePulls(s)) == 0, Rows: pullRows(s)},
		{Title: runnerLine(s.Runner), Rows: runnerRows(s.Runner)},
		{Separator: true},
		{Title: words.T("Settings"), Rows: []menuRow{
			{Title: words.T("Start at login"), Checkable: true, Checked: s.Autostart.On, Action: action{Do: toggleAutostart, On: !s.Autostart.On}},
			{Title: words.T("Notifications"), Checkable: true, Checked: !s.Quiet, Action: action{Do: toggleNotifications, On: s.Quiet}},
			{Title: words.T("Lean profile for new local sessions"), Checkable: true, Checked: s.Lean, Action: action{Do: toggleLean, Lean: !s.Lean}},
			{Title: words.T("Open the configuration"), Action: action{Do: openConfig}},
		}},
		{Title: short(words.T("Switchyard %s is available", s.Update.Version)), Hidden: s.Update.Version == "", Action: action{Do: openRelease, Page: s.Update.Page}},
		{Title: short(about(s)), Disabled: true},
		{Title: words.T("Quit"), Hidden: !inCloud, Action: action{Do: quit}},
		{Title: words.T("Quit…"), Hidden: inCloud, Rows: []menuRow{
			{Title: words.T("Back to cloud, then quit"), Hidden: s.Locked, Action: action{Do: cloudThenQuit}},
			{Title: stay(s), Hidden: !canStay(s), Action: action{Do: quit}},
		}},
	}
}

// about names the program and its version.
func about(s state.State) string { return strings.TrimSpace("Switchyard " + s.Version) }

// stay says what quitting without a switch means.
func stay(s state.State) string {
	text := words.T("Quit and stay %s", routeName(s.Route))
	for _, t := range s.Targets {
		if t.Way == claude.Gateway {
			return text + words.T(", without the gateway")
		}
	}
	return text
}

// canStay reports whether the runner can be reached when the gateway has ended.
func canStay(s state.State) bool {
	for _, t := range s.Targets {
		if t.Way == claude.Gateway && t.Direct == "" {
			return false
		}
	}
	return true
}

func routeRow(s state.State, r claude.Route) menuRow {
	return menuRow{Title: title(r), Checkable: true, Checked: s.Route == r, Action: action{Do: switchTo, Route: r}}
}

// cloudRow is the row of the cloud route. From offline there is another one, which asks.
func cloudRow(s state.State) menuRow {
	row := routeRow(s, claude.Cloud)
	row.Hidden, row.Disabled = s.Route == claude.Offline && !s.Locked, s.Locked
	if s.Locked {
		row.Title = words.T("Cloud: not allowed by the configuration")
	}
	return row
}

// routeNames are the routes in the middle of a sentence, titles at its beginning.
var (
	routeNames = map[claude.Route]string{claude.Cloud: words.Key("cloud"), claude.Local: words.Key("local"), claude.Offline: words.Key("offline"), state.Unknown: words.Key("unknown")}
	titles     = map[claude.Route]string{claude.Cloud: words.Key("Cloud"), claude.Local: words.Key("Local"), claude.Offline: words.Key("Offline")}
)

func routeName(r claude.Route) string { return words.T(routeNames[r]) }

func title(r claude.Route) string { return words.T(titles[r]) }

func short(text string) string {
	runes := []rune(text)
	if len(runes) <= maxTitle {
		return text
	}
	return string(runes[:maxTitle-1]) + "…"
}
