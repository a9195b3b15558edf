// Package tray is Switchyard's desktop face: an icon, a menu, notifications.
// What they show is computed by pure functions of the State; the rest of the
// package only applies the difference.
package tray

import (
	"strings"

	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/words"
)

// Action is what a click on a row asks for.
type Action struct {
	Do      Verb
	Context int             // for ResizeModel: tokens
	Sure    bool            // for SwitchTo: leaving the offline route was confirmed
	Route   claude.Route    // for SwitchTo
	Model   string          // for ChooseModel
	Want    service.Control // for ControlRunner
	Lean    bool            // for ToggleLean: what it shall be
	On      bool            // for ToggleAutostart and ToggleNotifications: what it shall be
	Page    string          // for OpenRelease
	Cure    string          // for CureDeparture: the finding's code
}

// Verb is a kind of action.
type Verb int

const (
	Nothing Verb = iota
	SwitchTo
	ChooseModel
	PullModel
	CancelPull
	ResizeModel
	ControlRunner
	ToggleLean
	OpenRunnerLog
	ToggleAutostart
	OpenConfig
	OpenRelease
	ToggleNotifications
	CheckDeparture
	CureDeparture
	Quit // leave the settings as they are
	CloudThenQuit
)

// Row is one line of the menu. Rows of one place keep their number and order:
// what is not there now is hidden.
type Row struct {
	Title     string
	Checkable bool
	Checked   bool
	Disabled  bool
	Hidden    bool
	Separator bool
	Action    Action
	Rows      []Row // a submenu; its rows may grow in number, never shrink
}

// maxTitle keeps the menu from growing over the screen.
const maxTitle = 72

// Menu lays the whole menu out.
func Menu(s service.State) []Row {
	inCloud := s.Route == claude.Cloud
	return []Row{
		{Title: headline(s), Disabled: true},
		{Title: secondLine(s), Disabled: true, Hidden: secondLine(s) == ""},
		{Separator: true},
		cloud(s),
		{Title: words.T("Cloud…"), Hidden: s.Route != claude.Offline || s.Locked, Rows: []Row{
			{Title: words.T("End offline: Claude Code talks to Anthropic again"), Action: Action{Do: SwitchTo, Route: claude.Cloud, Sure: true}},
		}},
		route(s, claude.Local),
		route(s, claude.Offline),
		{Title: departureLine(s.Departure), Rows: departure(s)},
		{Separator: true},
		{Title: words.T("Model"), Rows: models(s)},
		{Title: contextLine(s), Disabled: s.Model == "", Rows: contexts(s)},
		{Title: sessionsLine(s), Rows: sessions(s)},
		{Title: pullsLine(s), Hidden: len(active(s)) == 0, Rows: pulls(s)},
		{Title: runnerLine(s.Runner), Rows: runnerRows(s.Runner)},
		{Separator: true},
		{Title: words.T("Settings"), Rows: []Row{
			{Title: words.T("Start at login"), Checkable: true, Checked: s.Autostart.On, Action: Action{Do: ToggleAutostart, On: !s.Autostart.On}},
			{Title: words.T("Notifications"), Checkable: true, Checked: !s.Quiet, Action: Action{Do: ToggleNotifications, On: s.Quiet}},
			{Title: words.T("Lean profile for new local sessions"), Checkable: true, Checked: s.Lean, Action: Action{Do: ToggleLean, Lean: !s.Lean}},
			{Title: words.T("Open the configuration"), Action: Action{Do: OpenConfig}},
		}},
		{Title: short(words.T("Switchyard %s is there", s.Update.Version)), Hidden: s.Update.Version == "", Action: Action{Do: OpenRelease, Page: s.Update.Page}},
		{Title: short(about(s)), Disabled: true},
		{Title: words.T("Quit"), Hidden: !inCloud, Action: Action{Do: Quit}},
		{Title: words.T("Quit…"), Hidden: inCloud, Rows: []Row{
			{Title: words.T("Back to cloud, then quit"), Hidden: s.Locked, Action: Action{Do: CloudThenQuit}},
			{Title: stay(s), Hidden: !canStay(s), Action: Action{Do: Quit}},
		}},
	}
}

// about names the program and its version.
func about(s service.State) string { return strings.TrimSpace("Switchyard " + s.Version) }

// stay says what quitting without a switch means.
func stay(s service.State) string {
	text := words.T("Quit and stay %s", routeName(s.Route))
	for _, t := range s.Targets {
		if t.Way == claude.Gateway {
			return text + words.T(", without the gateway")
		}
	}
	return text
}

// canStay tells whether the runner can be reached when the gateway has ended.
func canStay(s service.State) bool {
	for _, t := range s.Targets {
		if t.Way == claude.Gateway && t.Direct == "" {
			return false
		}
	}
	return true
}

func route(s service.State, r claude.Route) Row {
	return Row{Title: title(r), Checkable: true, Checked: s.Route == r, Action: Action{Do: SwitchTo, Route: r}}
}

// cloud is the row of the cloud route. From offline there is another one, which asks.
func cloud(s service.State) Row {
	row := route(s, claude.Cloud)
	row.Hidden, row.Disabled = s.Route == claude.Offline && !s.Locked, s.Locked
	if s.Locked {
		row.Title = words.T("Cloud: forbidden by the configuration")
	}
	return row
}

// routeNames are the routes in the middle of a sentence, titles at its beginning.
var (
	routeNames = map[claude.Route]string{claude.Cloud: words.Key("cloud"), claude.Local: words.Key("local"), claude.Offline: words.Key("offline"), service.Unknown: words.Key("unknown")}
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
