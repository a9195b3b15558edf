package tray

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// fitMarks are the verdicts in the menu.
var fitMarks = map[gpu.Verdict]string{gpu.Fits: words.Key("fits"), gpu.Tight: words.Key("tight"), gpu.TooBig: words.Key("too big")}

// modelRows begins with the rows that are not models: a row cannot become checkable later.
func modelRows(s state.State) []menuRow {
	none := words.T("no models yet")
	if s.Runner.State != state.Running {
		none = words.T("Model Runner is not running")
	}
	rows := []menuRow{{Title: words.T("Pull a model"), Rows: suggestionRows(s)}, {Title: none, Disabled: true, Hidden: len(s.Models) > 0}}
	current := s.Model
	if current == "" {
		current = s.Chosen
	}
	for _, m := range s.Models {
		parts := []string{runner.Short(m.Tag)}
		if m.Size > 0 {
			parts = append(parts, words.Size(m.Size))
		}
		if m.Context > 0 {
			parts = append(parts, words.Tokens(m.Context))
		}
		if mark := fitMarks[m.Fit]; mark != "" && !m.Loaded {
			parts = append(parts, words.T(mark))
		}
		if m.Unfit() {
			parts = append(parts, words.T("no tools"))
		}
		if m.Loaded {
			parts = append(parts, words.T("loaded"))
		}
		rows = append(rows, menuRow{Title: short(strings.Join(parts, " · ")), Checkable: true, Checked: isModel(m, current, len(s.Models)),
			Action: action{Do: chooseModel, Model: m.Tag}})
	}
	return rows
}

// suggestionRows are models that can drive Claude Code and are not there yet.
func suggestionRows(s state.State) []menuRow {
	var rows []menuRow
	for _, one := range assets.Suggestions() {
		tag := runner.Full(one.Ref)
		there := slices.ContainsFunc(s.Models, func(m state.Model) bool { return m.Tag == tag }) ||
			slices.ContainsFunc(activePulls(s), func(p state.Pull) bool { return runner.Full(p.Ref) == tag })
		rows = append(rows, menuRow{Title: short(fmt.Sprintf("%s · %s · %s", one.Ref, words.Size(one.Size), words.T(one.About))), Disabled: there, Action: action{Do: pullModel, Model: one.Ref}})
	}
	return append(rows, menuRow{Title: words.T("for others, run: switchyard pull MODEL"), Disabled: true})
}

func contextLine(s state.State) string {
	if s.Model == "" || s.Context == 0 {
		return words.T("Context")
	}
	return words.T("Context: %s", words.Tokens(s.Context))
}

// contextRows are the sizes that the model in use bears, with what each needs.
func contextRows(s state.State) []menuRow {
	judged := map[int]state.ContextFit{}
	for _, c := range s.Contexts {
		judged[c.Context] = c
	}
	var rows []menuRow
	for _, size := range state.ContextSizes {
		c, bears := judged[size]
		parts := []string{words.Tokens(size)}
		if mark := fitMarks[c.Fit]; mark != "" {
			parts = append(parts, words.Size(c.Need), words.T(mark))
		}
		rows = append(rows, menuRow{Title: strings.Join(parts, " · "), Checkable: true, Checked: s.Model != "" && s.Context == size, Hidden: len(s.Contexts) > 0 && !bears,
			Disabled: s.Model == "", Action: action{Do: resizeModel, Model: s.Model, Context: size}})
	}
	return rows
}

// isModel reports whether a row is the chosen model; the only one there is needs no choosing.
func isModel(m state.Model, chosen string, of int) bool {
	if chosen == "" {
		return of == 1
	}
	_, tag, _ := runner.Choose([]runner.Model{{ID: m.ID, Tags: []string{m.Tag}}}, chosen)
	return tag != ""
}

// sessionsLine counts the sessions, by their routes where these differ.
func sessionsLine(s state.State) string {
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
	for _, r := range []claude.Route{claude.Cloud, claude.Local, claude.Offline, state.Unknown} {
		if counts[r] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[r], routeName(r)))
		}
	}
	return words.T("Sessions: %s", strings.Join(parts, ", ")) + behind
}

// sessionRows are the running Claude Codes; one that did not follow a switch is followed
// by what to do.
func sessionRows(s state.State) []menuRow {
	rows := []menuRow{{Title: words.T("no Claude Code session is running"), Disabled: true, Hidden: len(s.Sessions) > 0}}
	for _, one := range s.Sessions {
		parts := []string{one.Name(), routeName(one.Route)}
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
			parts = append(parts, words.T("since %s", words.Since(one.Started, time.Now())))
		}
		text := strings.Join(parts, " · ")
		if one.Behind || one.Forbidden {
			text = "⚠ " + text
		}
		rows = append(rows, menuRow{Title: short(text), Disabled: true})
		if one.Reason != "" {
			rows = append(rows, menuRow{Title: short("    " + one.Reason), Disabled: true})
		}
		if one.Remedy != "" {
			rows = append(rows, menuRow{Title: short("    → " + one.Remedy), Disabled: true})
		}
	}
	return rows
}

// activePulls are the pulls that are not over.
func activePulls(s state.State) []state.Pull {
	return slices.DeleteFunc(slices.Clone(s.Pulls), func(p state.Pull) bool { return p.State.Over() })
}

// pullsLine is the first of the pulls.
func pullsLine(s state.State) string {
	all := activePulls(s)
	if len(all) == 0 {
		return words.T("Pulling")
	}
	text := words.T("Pulling %s", all[0].Text())
	if more := len(all) - 1; more > 0 {
		text += "  " + words.T("and %d more", more)
	}
	return short(text)
}

// pullRows are the rows that cancel them.
func pullRows(s state.State) []menuRow {
	rows := []menuRow{{Title: words.T("click to cancel; the next pull resumes"), Disabled: true}}
	for _, p := range activePulls(s) {
		title := "✕ " + p.Text()
		if p.Others {
			title = p.Text() + "  " + words.T("(not by Switchyard)")
		}
		rows = append(rows, menuRow{Title: short(title), Disabled: p.Others, Action: action{Do: cancelPull, Model: p.Ref}})
	}
	return rows
}

// runnerLine says how Model Runner is. The moment it started stands there, not
// how long ago that was: nothing has to be drawn again as time goes by.
func runnerLine(r state.Runner) string {
	const name = "Model Runner: "
	switch {
	case r.Doing != "":
		return name + words.T(r.Doing)
	case r.State == state.Running && !r.Since.IsZero():
		return short(name + words.T("running since %s", words.Since(r.Since, time.Now())) + address(r.URL))
	case r.State == state.Running:
		return short(name + words.T("running") + address(r.URL))
	case r.State == state.Starting:
		return name + words.T("starting…")
	case r.ByPerson:
		return name + words.T("stopped by you")
	case r.State == state.Stopped:
		return name + words.T("stopped")
	case r.State == state.RunnerFailed:
		return name + words.T("not working")
	case r.State == state.Absent:
		return name + words.T("not found")
	}
	return name + words.T("looking…")
}

// address is the port, or nothing for a runner on a socket.
func address(url string) string {
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
func runnerRows(r state.Runner) []menuRow {
	up := r.State == state.Running || r.State == state.RunnerFailed || r.State == state.Starting
	return []menuRow{
		{Title: short(r.Reason), Disabled: true, Hidden: r.Reason == ""},
		{Title: words.T("Start"), Disabled: !r.Controlled || r.Doing != "" || r.State == state.Running || r.State == state.Starting, Action: action{Do: controlRunner, Want: localrunner.Start}},
		{Title: words.T("Stop"), Disabled: !r.Controlled || !up, Action: action{Do: controlRunner, Want: localrunner.Stop}},
		{Title: words.T("Restart"), Disabled: !r.Controlled || !up, Action: action{Do: controlRunner, Want: localrunner.Restart}},
		{Title: words.T("Open its log"), Disabled: r.State == state.Absent || r.State == "", Action: action{Do: openRunnerLog}},
	}
}
