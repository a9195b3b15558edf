package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/engine"
)

func (c *commands) runner() *cobra.Command {
	cmd := &cobra.Command{
		Use: "runner", Short: "Model Runner itself: its state, start, stop, installation, log", Args: noArgs,
		RunE: c.with(c.runnerStatus),
	}
	cmd.AddCommand(
		&cobra.Command{Use: "status", Short: "Show how Model Runner is", Args: noArgs, RunE: c.with(c.runnerStatus)},
		c.runnerControl(service.StartRunner, "Start it and wait until it answers"),
		c.runnerControl(service.StopRunner, "Stop it; Switchyard does not start it again by itself"),
		c.runnerControl(service.RestartRunner, "Stop it, start it, and wait until it answers"),
		c.runnerInstall(), c.runnerLogs(),
	)
	return cmd
}

func (c *commands) runnerStatus(ctx context.Context, yard *service.Yard, _ []string) error {
	s := yard.Look(ctx)
	err := c.showRunner(s)
	if err == nil && s.Runner.State != service.Running {
		return errReported{service.Unreachable}
	}
	return err
}

func (c *commands) showRunner(s service.State) error {
	return c.result(s.Runner, runnerText(s.Runner, len(s.Models), time.Now()))
}

func (c *commands) runnerControl(what service.Control, short string) *cobra.Command {
	return &cobra.Command{
		Use: string(what), Short: short, Args: noArgs,
		RunE: c.with(func(ctx context.Context, yard *service.Yard, _ []string) error {
			progress, clear := c.progress()
			if progress.Begin != nil {
				progress.Begin(string(what) + "_runner")
			}
			err := yard.Control(ctx, what)
			clear()
			if err != nil {
				return err
			}
			return c.showRunner(yard.Look(ctx))
		}),
	}
}

func (c *commands) runnerInstall() *cobra.Command {
	var how engine.Install
	cmd := &cobra.Command{
		Use: "install", Short: "Set Model Runner up in Docker, or set it up again with other options", Args: noArgs,
		Long: `Install makes Model Runner's container with Docker's model command, or enables
Model Runner in Docker Desktop. A container that is there already is made again
with the options given; its host, port, restart policy, networks and environment
stay as they are otherwise. Claude Code's settings follow it to another port.`,
		RunE: c.with(func(ctx context.Context, yard *service.Yard, _ []string) error {
			if how.Port < 0 || how.Port > 65535 {
				return usageError{fmt.Errorf("--port %d is no port", how.Port)}
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
			err := yard.Install(ctx, how, progress)
			clear()
			if err != nil {
				return err
			}
			return c.showRunner(yard.Look(ctx))
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&how.Port, "port", 0, "its port on this machine (default: as it was, or 12434)")
	flags.StringVar(&how.Host, "host", "", "the address it listens at (default: as it was, or 127.0.0.1)")
	flags.StringVar(&how.GPU, "gpu", "", "none, cuda, rocm … for a new container (default: what Docker finds)")
	flags.BoolVar(&how.Pull, "pull", false, "also get the newest image")
	return cmd
}

func (c *commands) runnerLogs() *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use: "logs", Short: "Show Model Runner's own log", Args: noArgs,
		RunE: c.with(func(ctx context.Context, yard *service.Yard, _ []string) error {
			return yard.RunnerLogs(ctx, c.Stdout, lines, follow)
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on and print new lines")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many of the last lines")
	return cmd
}

// runnerText is what "runner status" prints.
func runnerText(r service.Runner, count int, now time.Time) string {
	var b strings.Builder
	w := columns(&b, 3)
	fmt.Fprintf(w, "Model Runner\t%s\n", strings.Join(runnerParts(r, now), " · "))
	if r.URL != "" && r.State == service.Running {
		fmt.Fprintf(w, "Address\t%s\n", r.URL)
		fmt.Fprintf(w, "Models\t%d\n", count)
	}
	if r.Restarts > 0 {
		fmt.Fprintf(w, "Restarts\t%d in the last ten minutes\n", r.Restarts)
	}
	_ = w.Flush()
	if r.Reason != "" {
		b.WriteString(warningText([]service.Warning{{Text: r.Reason, Remedy: r.Remedy}}))
	}
	return b.String()
}

// runnerParts say in a line how the runner is.
func runnerParts(r service.Runner, now time.Time) []string {
	current := string(r.State)
	switch {
	case r.Doing != "":
		current = strings.TrimSuffix(r.Doing, "…")
	case r.ByPerson:
		current = "stopped by you"
	case r.State == service.Running && !r.Since.IsZero():
		current = "running since " + service.Since(r.Since, now)
	case r.State == service.Absent:
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
