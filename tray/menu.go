// Package tray is Switchyard's desktop face: an icon, a menu, notifications.
// What they show is computed by pure functions of the State; the rest of the
// package only applies the difference.
package tray

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
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

// departureLine says how the last check before a departure went.
func departureLine(d service.Departure) string {
	name := words.T("Departure check")
	switch {
	case d.At.IsZero():
		return name
	case d.Ready && len(d.Findings) == 0:
		return words.T("%s: ready", name)
	case d.Ready:
		return words.T("%s: ready, %s", name, service.Count(len(d.Findings), "thing to know", "things to know"))
	}
	return words.T("%s: not ready", name)
}

// departure begins with the check itself; what it found follows, each with its remedy,
// which a click does where it can be done.
func departure(s service.State) []Row {
	d := s.Departure
	checked := Row{Title: words.T("Nothing is missing for a time without a network"), Disabled: true, Hidden: !d.Ready || len(d.Findings) > 0}
	rows := []Row{{Title: words.T("Check now"), Disabled: s.Busy != "", Action: Action{Do: CheckDeparture}}, checked}
	tell := func(mark, text, remedy string, cure *service.Finding) {
		rows = append(rows, Row{Title: short(mark + " " + text), Disabled: true})
		row := Row{Title: short("    → " + remedy), Disabled: true}
		if cure != nil {
			row = Row{Title: short("    " + words.T("Do it: %s", cure.Command)), Disabled: s.Busy != "", Action: Action{Do: CureDeparture, Cure: cure.Code}}
		}
		rows = append(rows, row)
	}
	if d.Failed != "" && !slices.ContainsFunc(d.Findings, func(f service.Finding) bool { return strings.HasPrefix(f.Code, "proof_") }) {
		tell("✗", d.Failed, d.Remedy, nil)
	}
	for _, f := range d.Findings {
		mark := "✗"
		if f.Severity == service.Poor {
			mark = "!"
		}
		var cure *service.Finding
		if f.Fixable {
			cure = &f
		}
		remedy := f.Remedy
		if f.Command != "" && !strings.Contains(remedy, f.Command) {
			remedy += ": " + f.Command
		}
		tell(mark, f.Text, remedy, cure)
	}
	return rows
}

// headline is route, model and context; what is being done, or a warning, takes its place.
func headline(s service.State) string {
	switch {
	case s.Busy != "":
		return words.T(s.Busy)
	case len(s.Warnings) > 0:
		return short("⚠ " + s.Warnings[0].Text)
	}
	parts := []string{title(s.Route)}
	if s.Model != "" {
		parts = append(parts, runner.Short(s.Model))
	}
	if s.Context > 0 {
		parts = append(parts, service.Tokens(s.Context))
	}
	return short("● " + strings.Join(parts, " · "))
}

// secondLine is the remedy of the warning above, or what is going on.
func secondLine(s service.State) string {
	if s.Busy != "" && s.Doubt.Text != "" {
		return short(s.Doubt.Text)
	}
	if s.Busy == "" && len(s.Warnings) > 0 {
		return short("→ " + s.Warnings[0].Remedy)
	}
	waiting := 0
	for _, t := range s.Targets {
		waiting += t.Waiting
	}
	if waiting > 0 {
		return words.T("settings are restored when %s", service.Count(waiting, "session ends", "sessions end"))
	}
	var parts []string
	if line := gpuLine(s.VRAM); line != "" {
		parts = append(parts, line)
	}
	if n := len(s.Sessions); n > 0 {
		parts = append(parts, service.Count(n, "session", "sessions"))
	}
	if s.Gateway.TokensPerS > 0 {
		parts = append(parts, service.Speed(s.Gateway.TokensPerS))
	}
	if s.Gateway.Waiting > 0 {
		parts = append(parts, service.Count(s.Gateway.Waiting, "request waits", "requests wait"))
	}
	if len(parts) == 0 && s.Route != claude.Cloud {
		return words.T("no sessions") // the row stays: an open menu does not grow when a request comes
	}
	return strings.Join(parts, "  ·  ")
}

// gpuLine is how much graphics memory is taken, nothing when that is not known.
func gpuLine(v service.VRAM) string {
	free, total := gpu.Free(v.Devices), gpu.Total(v.Devices)
	if free < 0 || total <= 0 {
		return ""
	}
	const gib = 1 << 30
	return words.T("GPU %s / %s GiB", words.Decimal(float64(total-free)/gib, 1), words.Decimal(float64(total)/gib, 0))
}

// fitMarks are the verdicts in the menu.
var fitMarks = map[gpu.Verdict]string{gpu.Fits: words.Key("fits"), gpu.Tight: words.Key("tight"), gpu.TooBig: words.Key("too big")}

// models begins with the rows that are not models: a row cannot become checkable later.
func models(s service.State) []Row {
	none := words.T("no models yet")
	if s.Runner.State != service.Running {
		none = words.T("Model Runner does not run")
	}
	rows := []Row{{Title: words.T("Pull a model"), Rows: suggestions(s)}, {Title: none, Disabled: true, Hidden: len(s.Models) > 0}}
	current := s.Model
	if current == "" {
		current = s.Chosen
	}
	for _, m := range s.Models {
		parts := []string{runner.Short(m.Tag)}
		if m.Size > 0 {
			parts = append(parts, service.Size(m.Size))
		}
		if m.Context > 0 {
			parts = append(parts, service.Tokens(m.Context))
		}
		if mark := fitMarks[m.Fit]; mark != "" && !m.Loaded {
			parts = append(parts, words.T(mark))
		}
		if m.Tools != nil && !*m.Tools {
			parts = append(parts, words.T("no tools"))
		}
		if m.Loaded {
			parts = append(parts, words.T("loaded"))
		}
		rows = append(rows, Row{Title: short(strings.Join(parts, " · ")), Checkable: true, Checked: isModel(m, current, len(s.Models)),
			Action: Action{Do: ChooseModel, Model: m.Tag}})
	}
	return rows
}

// suggestions are models that can drive Claude Code and are not there yet.
func suggestions(s service.State) []Row {
	var rows []Row
	for _, one := range assets.Suggestions() {
		tag := runner.Full(one.Ref)
		there := slices.ContainsFunc(s.Models, func(m service.Model) bool { return m.Tag == tag }) ||
			slices.ContainsFunc(active(s), func(p service.Pull) bool { return runner.Full(p.Ref) == tag })
		rows = append(rows, Row{Title: short(fmt.Sprintf("%s · %s · %s", one.Ref, service.Size(one.Size), words.T(one.About))), Disabled: there, Action: Action{Do: PullModel, Model: one.Ref}})
	}
	return append(rows, Row{Title: words.T("others at a terminal: switchyard pull MODEL"), Disabled: true})
}

// active are the pulls that are not over.
func active(s service.State) []service.Pull {
	return slices.DeleteFunc(slices.Clone(s.Pulls), func(p service.Pull) bool {
		return p.State == service.Pulled || p.State == service.Failing || p.State == service.Cancelled
	})
}

// pullsLine is the first of the pulls.
func pullsLine(s service.State) string {
	all := active(s)
	if len(all) == 0 {
		return words.T("Pulling")
	}
	text := words.T("Pulling %s", all[0].Text())
	if more := len(all) - 1; more > 0 {
		text += "  " + words.T("and %d more", more)
	}
	return short(text)
}

// pulls are the rows that cancel them.
func pulls(s service.State) []Row {
	rows := []Row{{Title: words.T("a click cancels; the next pull goes on from there"), Disabled: true}}
	for _, p := range active(s) {
		title := "✕ " + p.Text()
		if p.Others {
			title = p.Text() + "  " + words.T("(not by Switchyard)")
		}
		rows = append(rows, Row{Title: short(title), Disabled: p.Others, Action: Action{Do: CancelPull, Model: p.Ref}})
	}
	return rows
}

func contextLine(s service.State) string {
	if s.Model == "" || s.Context == 0 {
		return words.T("Context")
	}
	return words.T("Context: %s", service.Tokens(s.Context))
}

// contexts are the sizes that the model in use bears, with what each needs.
func contexts(s service.State) []Row {
	judged := map[int]service.ContextFit{}
	for _, c := range s.Contexts {
		judged[c.Context] = c
	}
	var rows []Row
	for _, size := range service.ContextSizes {
		c, bears := judged[size]
		parts := []string{service.Tokens(size)}
		if mark := fitMarks[c.Fit]; mark != "" {
			parts = append(parts, service.Size(c.Need), words.T(mark))
		}
		rows = append(rows, Row{Title: strings.Join(parts, " · "), Checkable: true, Checked: s.Model != "" && s.Context == size, Hidden: len(s.Contexts) > 0 && !bears,
			Disabled: s.Model == "", Action: Action{Do: ResizeModel, Model: s.Model, Context: size}})
	}
	return rows
}

// isModel tells whether a row is the chosen model; the only one there is needs no choosing.
func isModel(m service.Model, chosen string, of int) bool {
	if chosen == "" {
		return of == 1
	}
	_, tag, _ := runner.Choose([]runner.Model{{ID: m.ID, Tags: []string{m.Tag}}}, chosen)
	return tag != ""
}

// sessionsLine counts the sessions, by their routes where these differ.
func sessionsLine(s service.State) string {
	counts := map[claude.Route]int{}
	behind := ""
	for _, one := range s.Sessions {
		counts[one.Route]++
		if one.Behind || one.Forbidden {
			behind = "  ⚠"
		}
	}
	if len(s.Sessions) == 0 {
		return words.T("Sessions")
	}
	var parts []string
	for _, r := range []claude.Route{claude.Cloud, claude.Local, claude.Offline, service.Unknown} {
		if counts[r] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[r], routeName(r)))
		}
	}
	return words.T("Sessions: %s", strings.Join(parts, ", ")) + behind
}

// sessions are the running Claude Codes; one that did not follow a switch is followed
// by what to do.
func sessions(s service.State) []Row {
	rows := []Row{{Title: words.T("no Claude Code is running"), Disabled: true, Hidden: len(s.Sessions) > 0}}
	for _, one := range s.Sessions {
		parts := []string{one.Place(), routeName(one.Route)}
		if one.Model != "" && one.Route != claude.Cloud {
			parts = append(parts, runner.Short(one.Model))
		}
		if one.Lean {
			parts = append(parts, words.T("lean"))
		}
		if one.ContextUsedPct > 0 {
			parts = append(parts, words.T("context %.0f %%", one.ContextUsedPct))
		}
		if !one.Started.IsZero() {
			parts = append(parts, words.T("since %s", service.Since(one.Started, time.Now())))
		}
		text := strings.Join(parts, " · ")
		if one.Behind || one.Forbidden {
			text = "⚠ " + text
		}
		rows = append(rows, Row{Title: short(text), Disabled: true})
		if one.Reason != "" {
			rows = append(rows, Row{Title: short("    " + one.Reason), Disabled: true})
		}
		if one.Remedy != "" {
			rows = append(rows, Row{Title: short("    → " + one.Remedy), Disabled: true})
		}
	}
	return rows
}

// runnerLine says how Model Runner is. The moment it started stands there, not
// how long ago that was: nothing has to be drawn again as time goes by.
func runnerLine(r service.Runner) string {
	const name = "Model Runner: "
	switch {
	case r.Doing != "":
		return name + words.T(r.Doing)
	case r.State == service.Running && !r.Since.IsZero():
		return short(name + words.T("running since %s", service.Since(r.Since, time.Now())) + place(r.URL))
	case r.State == service.Running:
		return short(name + words.T("running") + place(r.URL))
	case r.State == service.Starting:
		return name + words.T("starting…")
	case r.ByPerson:
		return name + words.T("stopped by you")
	case r.State == service.Stopped:
		return name + words.T("stopped")
	case r.State == service.Broken:
		return name + words.T("does not work")
	case r.State == service.Absent:
		return name + words.T("not found")
	}
	return name + words.T("looking…")
}

// place is the port, or nothing for a runner on a socket.
func place(url string) string {
	host, ok := strings.CutPrefix(url, "http://")
	if !ok {
		return ""
	}
	if port, local := strings.CutPrefix(host, "127.0.0.1:"); local {
		return " · " + words.T("port %s", port)
	}
	return " · " + host
}

// runnerRows are what can be done with Model Runner. The first row says why it does
// not work.
func runnerRows(r service.Runner) []Row {
	up := r.State == service.Running || r.State == service.Broken || r.State == service.Starting
	return []Row{
		{Title: short(r.Reason), Disabled: true, Hidden: r.Reason == ""},
		{Title: words.T("Start"), Disabled: !r.Controlled || r.Doing != "" || r.State == service.Running || r.State == service.Starting, Action: Action{Do: ControlRunner, Want: service.StartRunner}},
		{Title: words.T("Stop"), Disabled: !r.Controlled || !up, Action: Action{Do: ControlRunner, Want: service.StopRunner}},
		{Title: words.T("Restart"), Disabled: !r.Controlled || !up, Action: Action{Do: ControlRunner, Want: service.RestartRunner}},
		{Title: words.T("Open its log"), Disabled: r.State == service.Absent || r.State == "", Action: Action{Do: OpenRunnerLog}},
	}
}

// Icon is the picture for a State.
func Icon(s service.State) (assets.Glyph, assets.Badge) {
	glyph := map[claude.Route]assets.Glyph{claude.Local: assets.Chip, claude.Offline: assets.Airport}[s.Route]
	switch {
	case s.Busy != "":
		return glyph, assets.Busy
	case s.Route != claude.Cloud && (s.Runner.State == service.Stopped || s.Runner.State == service.Absent || s.Runner.State == service.Broken):
		return glyph, assets.Error
	case len(s.Warnings) > 0:
		return glyph, assets.Warning
	}
	return glyph, assets.NoBadge
}

// Gauge is how full the GPU's memory is, in quarters; in the cloud nobody needs it.
func Gauge(s service.State) assets.Gauge {
	free, total := gpu.Free(s.VRAM.Devices), gpu.Total(s.VRAM.Devices)
	if s.Route == claude.Cloud || s.Route == "" || free < 0 || total <= 0 {
		return 0
	}
	quarter := (total - free) * int64(assets.FullGauge) / total
	return min(assets.Gauge(quarter)+1, assets.FullGauge)
}

// Tooltip is the icon's text.
func Tooltip(s service.State) string {
	text := "Switchyard: " + strings.TrimPrefix(headline(s), "● ")
	return strings.TrimSpace(text)
}

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

// departureNotice tells what a check before a departure found. A switch that failed is
// told by itself.
func departureNotice(s service.State) (n Notice, ok bool) {
	d := s.Departure
	var lines []string
	for _, f := range d.Findings {
		if d.Ready || f.Severity == service.Bad {
			lines = append(lines, f.Text)
		}
	}
	if more := len(lines) - 2; more > 0 {
		lines = append(lines[:2], words.T("and %d more", more))
	}
	switch {
	case d.Ready && len(lines) == 0:
		return Notice{Title: words.T("Ready for departure"), Text: words.T("The model answers and calls tools; nothing is missing for a time without a network."), Kind: Departure, Key: "departure"}, true
	case d.Ready:
		return Notice{Title: words.T("Ready for departure, but"), Text: strings.Join(lines, "\n") + "\n" + words.T("→ see the menu: Departure check"), Kind: Departure, Key: "departure"}, true
	case len(lines) == 0:
		return Notice{Title: words.T("Not ready for departure"), Text: d.Failed + "\n→ " + d.Remedy, Kind: Departure, Key: "departure"}, true
	}
	return Notice{Title: words.T("Not ready for departure"), Text: strings.Join(lines, "\n") + "\n" + words.T("→ see the menu: Departure check"), Kind: Departure, Key: "departure"}, true
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

// tellAtOnce are the warnings that cannot wait until somebody opens the menu.
var tellAtOnce = map[string]bool{"drift": true, "runner_down": true, "runner_failed": true, "settings_broken": true, "vram_low": true, "vram_out": true, "gpu_unused": true,
	"sessions_behind": true, "offline_leak": true, "cloud_forbidden": true, "sessions_crowded": true, "queue_long": true, "two_models": true}

// lasting are warnings whose text changes while they last.
var lasting = map[string]bool{"sessions_behind": true, "offline_leak": true, "cloud_forbidden": true, "sessions_crowded": true, "queue_long": true, "two_models": true, "context_full": true}

var tellTitle = map[string]string{
	"drift":           words.Key("Settings were changed"),
	"runner_down":     words.Key("Model Runner is down"),
	"runner_failed":   words.Key("Model Runner fails"),
	"settings_broken": words.Key("Settings are ignored"),
	"vram_low":        words.Key("The GPU's memory is short"),
	"vram_out":        words.Key("The GPU's memory is full"),
	"gpu_unused":      words.Key("The GPU is not used"),

	"sessions_behind":  words.Key("Not every session followed"),
	"cloud_forbidden":  words.Key("A session is in the cloud"),
	"offline_leak":     words.Key("Not every session is offline"),
	"sessions_crowded": words.Key("More sessions than the model serves"),
	"queue_long":       words.Key("Requests wait long"),
	"two_models":       words.Key("Two models are needed at once"),
}

// kinds sorts the warnings that are told.
var kinds = map[string]Kind{
	"drift": Settings, "settings_broken": Settings, "runner_down": OfRunner, "runner_failed": OfRunner, "vram_low": Memory, "vram_out": Memory, "gpu_unused": Memory,
	"sessions_behind": Sessions, "cloud_forbidden": Sessions, "offline_leak": Sessions, "sessions_crowded": Sessions, "queue_long": Sessions, "two_models": Sessions,
}

// offers are what can be done about a warning at once.
func offers(code string) []Offer {
	switch code {
	case "runner_down", "runner_failed":
		return []Offer{{words.T("Start it"), Action{Do: ControlRunner, Want: service.StartRunner}}, {words.T("Open its log"), Action{Do: OpenRunnerLog}}}
	case "drift":
		return []Offer{{words.T("Back to cloud"), Action{Do: SwitchTo, Route: claude.Cloud}}}
	}
	return nil
}

func has(warnings []service.Warning, w service.Warning) bool {
	for _, have := range warnings {
		if have.Code == w.Code && (have.Text == w.Text || lasting[w.Code]) {
			return true
		}
	}
	return false
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
