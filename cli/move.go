package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
)

// switchFlags are what local, cloud and offline have in common.
type switchFlags struct {
	projects, targets []string
	context           string
	force, direct     bool
	lean              bool
	leanGiven         func() bool
	yes               bool
}

func (f *switchFlags) add(cmd *cobra.Command, toLocal bool) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.projects, "project", nil, "only this project folder, through its settings.local.json (may be repeated)")
	flags.StringArrayVar(&f.targets, "target", nil, "only this Claude Code configuration folder (may be repeated)")
	if toLocal {
		flags.StringVar(&f.context, "context", "", "the context in tokens to tell Claude Code, such as 64K (default: the model's)")
		flags.BoolVar(&f.force, "force", false, "switch without proving that it will work")
		flags.BoolVar(&f.lean, "lean", false, "give new sessions a short prompt and few tools, for small models; --lean=false undoes it")
		f.leanGiven = func() bool { return flags.Changed("lean") }
		flags.BoolVar(&f.direct, "direct", false, "point Claude Code at Model Runner directly, not at Switchyard's gateway")
	}
}

func (f *switchFlags) request(m *machine.Machine, route claude.Route, folder string, args []string) (switching.Request, error) {
	r := switching.Request{Route: route, Folder: folder, Force: f.force, Direct: f.direct, Confirmed: f.yes}
	for _, dir := range f.projects {
		r.Targets = append(r.Targets, m.ProjectTarget(dir))
	}
	for _, dir := range f.targets {
		r.Targets = append(r.Targets, m.FolderTarget(dir))
	}
	if f.leanGiven != nil && f.leanGiven() {
		r.Lean = &f.lean
	}
	if len(args) > 0 {
		r.Model = args[0]
	}
	var err error
	r.Context, err = parseTokens(f.context)
	return r, err
}

func (c *commands) local() *cobra.Command {
	return c.toLocal(claude.Local, "local [MODEL]", "Point Claude Code at a model on this machine")
}

func (c *commands) offline() *cobra.Command {
	cmd := c.toLocal(claude.Offline, "offline [MODEL]", "Like local, and keep Claude Code itself off the network")
	cmd.Long = `Offline switches like local, and keeps Claude Code itself off the network.

With --verify it switches nothing. It runs claude -p, or the command after --, cut
off from other machines, and reports every name that the command and its children
looked up and every connection to another machine that they tried.`
	cmd.Example = "  switchyard offline\n  switchyard offline --verify\n  switchyard offline --verify -- claude --continue"
	verify := cmd.Flags().Bool("verify", false, "run a command and report whether it tries to reach other machines")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !*verify && cmd.ArgsLenAtDash() < 0 {
			return atMostOne(cmd, args)
		}
		switch dash := cmd.ArgsLenAtDash(); {
		case !*verify:
			return usageError{errors.New("a command after -- needs --verify")}
		case dash > 0 || dash < 0 && len(args) > 0:
			return usageError{fmt.Errorf("--verify takes a command after --, not %q", args[0])}
		}
		return nil
	}
	toOffline := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *verify {
			return c.verify(cmd.Context(), args)
		}
		return toOffline(cmd, args)
	}
	return cmd
}

func (c *commands) toLocal(route claude.Route, use, short string) *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error { return c.move(cmd.Context(), &f, route, args) },
	}
	f.add(cmd, true)
	return cmd
}

func (c *commands) cloud() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use: "cloud", Short: "Restore Claude Code's settings", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.move(cmd.Context(), &f, claude.Cloud, nil) },
	}
	f.add(cmd, false)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask when leaving the offline route")
	return cmd
}

// move is a switch as the command line does it: progress, the result, and the wait until it holds.
func (c *commands) move(ctx context.Context, f *switchFlags, route claude.Route, args []string) error {
	m, err := c.open()
	if err != nil {
		return err
	}
	request, err := f.request(m, route, c.Folder, args)
	if err != nil {
		return err
	}
	for _, w := range m.Warnings {
		fmt.Fprintf(c.Stderr, "switchyard: %s; %s\n", w.Text, w.Remedy)
	}
	progress, clear := c.progress()
	result, err := switching.Switch(ctx, m, request, progress)
	clear()
	if errors.Is(err, switching.ErrOffline) && c.Interactive && c.agreed(ctx, "You are offline. In the cloud, Claude Code talks to Anthropic again. Switch to the cloud?") {
		request.Confirmed = true
		result, err = switching.Switch(ctx, m, request, progress)
	}
	if err != nil {
		for _, t := range result.Targets {
			fmt.Fprintf(c.Stderr, "switchyard: switched %s; the remaining targets were not switched\n", t.File)
		}
		return err
	}
	current := status.Look(ctx, m)
	if c.json {
		err = c.print(struct {
			switching.Result
			Warnings []state.Warning `json:"warnings"`
		}{result, current.Warnings})
	} else {
		_, err = io.WriteString(c.Stdout, switchText(result, current, c.Home))
	}
	if err != nil {
		return err
	}
	repaired, err := switching.Settle(ctx, m, result.Targets)
	if ctx.Err() != nil {
		return nil // the switch is done; only the watching was cut short
	}
	for _, file := range repaired {
		fmt.Fprintf(c.Stderr, "switchyard: a running Claude Code overwrote %s; Switchyard re-applied the switch and kept its other changes\n", file)
	}
	return err
}

// progress draws what is being proven, on a terminal only.
func (c *commands) progress() (p localrunner.Progress, clear func()) {
	warn := func(w state.Warning) { fmt.Fprintf(c.Stderr, "switchyard: %s; %s\n", w.Text, w.Remedy) }
	if !c.Terminal || c.json {
		return localrunner.Progress{Warn: warn}, func() {}
	}
	begin := func(name string) { fmt.Fprintf(c.Stderr, "%s%s …", wipe, doing[name]) }
	return localrunner.Progress{Begin: begin, Warn: warn}, func() { fmt.Fprint(c.Stderr, wipe) }
}

var doing = map[string]string{
	"load":           "loading the model (this may take a minute)",
	"start_runner":   "starting Model Runner",
	"stop_runner":    "stopping Model Runner",
	"restart_runner": "restarting Model Runner",
	"runner":         "asking Model Runner",
	"model":          "looking for the model",
	"context":        "looking at the context",
	"message":        "waiting for the first answer (loading the model may take a minute)",
	"system_message": "sending a system message mid-conversation",
	"tool_call":      "asking for a tool call",
	"tool_result":    "sending a tool's result",
	"two_calls":      "sending two tool calls",
	"cloud_history":  "sending a conversation that began in the cloud",
	"late_text":      "sending text after a tool's result",
	"late_reminder":  "sending a reminder after a tool's result",
	"odd_schema":     "sending an odd tool schema",
}
