package cli

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/words"
)

// statusText is what "status" prints.
func statusText(s state.State, home string, now time.Time) string {
	var b strings.Builder
	w := columns(&b, 3)
	fmt.Fprintf(w, "Route\t%s\n", strings.Join(nonEmpty(string(s.Route), runner.Short(s.Model), words.Tokens(s.Context), s.Busy), " · "))
	if s.BaseURL != "" {
		fmt.Fprintf(w, "Requests\t%s\n", s.BaseURL)
	}
	fmt.Fprintf(w, "Runner\t%s\n", strings.Join(append(runnerParts(s.Runner, now), nonEmpty(s.Runner.URL)...), " · "))
	if s.Gateway.URL != "" {
		fmt.Fprintf(w, "Gateway\t%s\n", strings.Join(gatewayParts(s.Gateway), " · "))
	}
	for i, m := range s.Models {
		head := ""
		if i == 0 {
			head = "Models"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", head, runner.Short(m.Tag), words.Size(m.Size), words.Tokens(m.Context))
	}
	for _, p := range s.Pulls {
		if !p.State.Over() {
			fmt.Fprintf(w, "Pulling\t%s\n", p.Text())
		}
	}
	for i, t := range s.Targets {
		head := ""
		if i == 0 {
			head = "Targets"
		}
		note := ""
		if t.Waiting > 0 {
			note = fmt.Sprintf("variables stay empty until %s: %s", words.Count(t.Waiting, "session ends", "sessions end"), strings.ReplaceAll(t.Held(), home+"/", "~/"))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", head, tilde(t.File, home), t.Route, note)
	}
	for i, one := range s.Sessions {
		head := ""
		if i == 0 {
			head = "Sessions"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", head, one.Name(), one.Route, runner.Short(one.Model))
	}
	_ = w.Flush()
	b.WriteString(warningText(s.Warnings))
	return trimLines(b.String())
}

// gatewayParts are the gateway's address and what it does just now.
func gatewayParts(g state.Gateway) []string {
	parts := []string{g.URL}
	if g.Running+g.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d running, %d waiting", g.Running, g.Waiting))
	}
	if g.TokensPerS > 0 {
		parts = append(parts, words.Speed(g.TokensPerS))
	}
	return parts
}

// gatewayText is what "gateway" prints.
func gatewayText(g state.Gateway) string {
	var b strings.Builder
	fmt.Fprintln(&b, strings.Join(gatewayParts(g), " · "))
	w := columns(&b, 3)
	for _, s := range g.Sessions {
		used := "nothing used yet"
		if s.ContextUsedPct > 0 {
			used = fmt.Sprintf("%.0f %% of %s used", s.ContextUsedPct, words.Tokens(s.Context))
		}
		fmt.Fprintf(w, "session %s\t%s\t%s\t%s\n", s.ID, runner.Short(s.Model), used, words.Count(s.Requests, "request", "requests"))
	}
	_ = w.Flush()
	return b.String()
}

func warningText(warnings []state.Warning) string {
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&b, "! %s\n  → %s\n", w.Text, w.Remedy)
	}
	return b.String()
}

// switchText is what local, cloud and offline print when they are done.
func switchText(r switching.Result, s state.State, home string) string {
	var b strings.Builder
	changed := false
	for _, t := range r.Targets {
		changed = changed || t.Changed
	}
	switch {
	case r.Route == claude.Cloud && !changed && s.Route != claude.Cloud:
		b.WriteString("Nothing to restore: Switchyard did not make the current settings.\n")
	case r.Route == claude.Cloud && !changed:
		b.WriteString("Already in the cloud.\n")
	case r.Route == claude.Cloud:
		b.WriteString("Claude Code is back in the cloud.\n")
	default:
		fmt.Fprintf(&b, "Claude Code is %s: %s, at %s.\n", r.Route,
			strings.Join(nonEmpty(runner.Short(r.Model), words.Tokens(r.Context)), ", "), r.BaseURL)
	}
	for _, t := range r.Targets {
		if len(t.Kept) > 0 {
			fmt.Fprintf(&b, "%s: %s was changed after the switch and was left as it is.\n", tilde(t.File, home), strings.Join(t.Kept, ", "))
		}
		if t.Waiting > 0 {
			fmt.Fprintf(&b, "%s: some variables stay empty (\"\") until %s, so that it follows the switch. The file is restored afterwards.\n",
				tilde(t.File, home), words.Count(t.Waiting, "running session ends", "running sessions end"))
		}
	}
	if len(r.Unproven) > 0 {
		fmt.Fprintf(&b, "Not proven: %s.\n", strings.ReplaceAll(strings.Join(r.Unproven, ", "), "_", " "))
	}
	if r.Route == claude.Offline {
		b.WriteString("New sessions make no network requests on their own. What their tools do (Bash, WebFetch, MCP servers) is not prevented.\nBefore a flight: switchyard check --departure. To prove that nothing gets out: switchyard offline --verify.\n")
	}
	b.WriteString(warningText(s.Warnings))
	return b.String()
}

// explainText is what "explain" prints.
func explainText(list []claude.Setting, home string) string {
	if len(list) == 0 {
		return "No settings apply. Claude Code uses Anthropic's cloud by default.\n"
	}
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s = %s\n    %s\n", s.Name, quoteEmpty(s.Value), place(s.Place, home))
		if s.Note != "" {
			fmt.Fprintf(&b, "    %s\n", s.Note)
		}
		for _, o := range s.Others {
			fmt.Fprintf(&b, "    overrides %s in %s\n", quoteEmpty(o.Value), place(o, home))
		}
	}
	return b.String()
}

func place(p claude.Place, home string) string {
	if p.Layer == claude.Shell {
		return "shell"
	}
	return fmt.Sprintf("%s  %s:%d", p.Layer, tilde(p.File, home), p.Line)
}

func quoteEmpty(value string) string {
	if value == "" {
		return `""`
	}
	return value
}

func (p proofJSON) text() string {
	mark := "✓"
	switch {
	case p.Minor:
		mark = "!"
	case !p.OK:
		mark = "✗"
	}
	line := fmt.Sprintf("%s %-15s %6d ms  %s\n", mark, strings.ReplaceAll(p.Name, "_", " "), p.MS, p.Detail)
	if p.Remedy != "" {
		line += "  → " + p.Remedy + "\n"
	}
	return line
}

// parseTokens reads 65536 or 64K; nothing means 0.
func parseTokens(text string) (int, error) {
	digits, kilo := strings.CutSuffix(strings.ToUpper(text), "K")
	n, err := strconv.Atoi(digits)
	if text == "" {
		return 0, nil
	}
	if err != nil || n <= 0 || n > 1<<30 {
		return 0, usageError{fmt.Errorf("invalid token count %q: use a number such as 65536 or 64K", text)}
	}
	if kilo {
		n *= 1024
	}
	return n, nil
}

func nonEmpty(parts ...string) []string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// withoutPassword hides the password of a URL.
func withoutPassword(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return value
	}
	return u.Redacted()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
