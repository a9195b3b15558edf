package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) runner() *cobra.Command {
	cmd := &cobra.Command{
		Use: "runner", Short: "Manage Model Runner: status, start, stop, install, logs", Args: noArgs,
		RunE: c.with(c.runnerStatus),
	}
	cmd.AddCommand(
		&cobra.Command{Use: "status", Short: "Show Model Runner's state", Args: noArgs, RunE: c.with(c.runnerStatus)},
		c.runnerControl(localrunner.Start, "Start it and wait until it answers"),
		c.runnerControl(localrunner.Stop, "Stop it; Switchyard will not restart it on its own"),
		c.runnerControl(localrunner.Restart, "Stop it, start it, and wait until it answers"),
		c.runnerInstall(), c.runnerLogs(),
	)
	return cmd
}

func (c *commands) runnerStatus(ctx context.Context, m *machine.Machine, _ []string) error {
	s := status.Look(ctx, m)
	err := c.showRunner(s)
	if err == nil && s.Runner.State != state.Running {
		return errReported{fault.Unreachable}
	}
	return err
}

func (c *commands) showRunner(s state.State) error {
	return c.result(s.Runner, runnerText(s.Runner, len(s.Models), time.Now()))
}

func (c *commands) runnerControl(what localrunner.Verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: string(what), Short: short, Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			progress, clear := c.progress()
			if progress.Begin != nil {
				progress.Begin(string(what) + "_runner")
			}
			err := control.ControlRunner(ctx, m, what)
			clear()
			if err != nil {
				return err
			}
			return c.showRunner(status.Look(ctx, m))
		}),
	}
}

func (c *commands) runnerInstall() *cobra.Command {
	var how engine.Install
	cmd := &cobra.Command{
		Use: "install", Short: "Set up Model Runner in Docker, or change its options", Args: noArgs,
		Long: `Install creates Model Runner's container with Docker's model command, or enables
Model Runner in Docker Desktop. An existing container is recreated with the given
options; otherwise its host, port, restart policy, networks and environment stay
as they are. If the port changes, Claude Code's settings follow.`,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			if how.Port < 0 || how.Port > 65535 {
				return usageError{fmt.Errorf("invalid --port %d", how.Port)}
			}
			clear := func() {}
			progress := func(line string) { fmt.Fprintln(c.Stderr, line) }
			switch {
			case c.json:
				progress = func(string) {}
			case c.Terminal:
				progress = func(line string) { fmt.Fprint(c.Stderr, wipe+cut(line, 76)) }
				clear = func() { fmt.Fprint(c.Stderr, wipe) }
			}
			err := localrunner.Install(ctx, m, how, progress)
			clear()
			if err != nil {
				return err
			}
			return c.showRunner(status.Look(ctx, m))
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&how.Port, "port", 0, "the port on this machine (default: unchanged, or 12434)")
	flags.StringVar(&how.Host, "host", "", "the address to listen on (default: unchanged, or 127.0.0.1)")
	flags.StringVar(&how.GPU, "gpu", "", "for a new container: none, cuda, rocm … (default: what Docker finds)")
	flags.BoolVar(&how.Pull, "pull", false, "also pull the newest image")
	return cmd
}

func (c *commands) runnerLogs() *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use: "logs", Short: "Show Model Runner's own log", Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			return localrunner.Logs(ctx, m, c.Stdout, lines, follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing new lines")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many lines to show from the end")
	return cmd
}

// runnerText is what "runner status" prints.
func runnerText(r state.Runner, count int, now time.Time) string {
	var b strings.Builder
	w := columns(&b, 3)
	fmt.Fprintf(w, "Model Runner\t%s\n", strings.Join(runnerParts(r, now), " · "))
	if r.URL != "" && r.State == state.Running {
		fmt.Fprintf(w, "Address\t%s\n", r.URL)
		fmt.Fprintf(w, "Models\t%d\n", count)
	}
	if r.Restarts > 0 {
		fmt.Fprintf(w, "Restarts\t%d in the last ten minutes\n", r.Restarts)
	}
	_ = w.Flush()
	if r.Reason != "" {
		b.WriteString(warningText([]state.Warning{{Text: r.Reason, Remedy: r.Remedy}}))
	}
	return b.String()
}

// runnerParts say in a line how the runner is.
func runnerParts(r state.Runner, now time.Time) []string {
	current := string(r.State)
	switch {
	case r.Doing != "":
		current = strings.TrimSuffix(r.Doing, "…")
	case r.ByPerson:
		current = "stopped by you"
	case r.State == state.Running && !r.Since.IsZero():
		current = "running since " + words.Since(r.Since, now)
	case r.State == state.Absent:
		current = "not found"
	}
	kind := string(r.Engine)
	if r.Engine == engine.None {
		kind = ""
	}
	version := r.Version
	if version != "" {
		version = "version " + version
	}
	return nonEmpty(current, kind, version)
}
