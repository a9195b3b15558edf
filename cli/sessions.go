package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) sessions() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "sessions", Short: "Show running Claude Code sessions and where their requests go", Args: noArgs,
		Long: `Sessions lists the running Claude Code sessions of all targets. A session's route
is where the gateway has seen it since the last switch; otherwise what its
settings, command line and environment say; otherwise unknown.`,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			list := status.Sessions(ctx, m, all)
			return c.result(list, sessionsText(list, c.Home, time.Now()))
		}),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also show records left behind by killed sessions")
	return cmd
}

// sessionsText is what "sessions" prints.
func sessionsText(list []state.Session, home string, now time.Time) string {
	if len(list) == 0 {
		return "No Claude Code is running.\n"
	}
	var b strings.Builder
	w := columns(&b, 2)
	fmt.Fprintln(w, "PID\tFOLDER\tKIND\tSINCE\tROUTE\tMODEL\tREQUESTS\tTOKENS IN\tOUT\tCONTEXT\tPINNED BY")
	for _, s := range list {
		since, context := "", ""
		if !s.Started.IsZero() {
			since = words.Since(s.Started, now)
		}
		if s.ContextUsedPct > 0 {
			context = fmt.Sprintf("%.0f %%", s.ContextUsedPct)
		}
		model := runner.Short(s.Model)
		if s.Lean {
			model += " (lean)"
		}
		route := string(s.Route)
		if s.Stale {
			route = "ended"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", s.PID, tilde(s.CWD, home), s.Kind, since, route, strings.TrimSpace(model),
			s.Requests, s.InputTokens, s.OutputTokens, context, s.PinnedBy)
	}
	_ = w.Flush()
	for _, s := range list {
		switch {
		case s.Forbidden:
			fmt.Fprintf(&b, "! %d in %s: %s\n  → %s\n", s.PID, s.Name(), s.Reason, s.Remedy)
		case s.Behind:
			fmt.Fprintf(&b, "! %d in %s did not follow the switch: %s\n  → %s\n", s.PID, s.Name(), s.Reason, s.Remedy)
		case s.Reason != "" && !s.Stale:
			fmt.Fprintf(&b, "? %d in %s: %s\n", s.PID, s.Name(), s.Reason)
		}
	}
	return trimLines(b.String())
}
