package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/login"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/uninstall"
)

func (c *commands) autostart() *cobra.Command {
	cmd := &cobra.Command{
		Use: "autostart", Short: "Start Switchyard at login: on, off, status", Args: noArgs,
		RunE: c.with(func(_ context.Context, m *machine.Machine, _ []string) error { return c.showAutostart(m) }),
	}
	set := func(name, short string, on bool) *cobra.Command {
		return &cobra.Command{Use: name, Short: short, Args: noArgs, RunE: c.with(func(_ context.Context, m *machine.Machine, _ []string) error {
			if err := login.Set(m, on); err != nil {
				return err
			}
			return c.showAutostart(m)
		})}
	}
	cmd.AddCommand(set("on", "Start it at login", true), set("off", "Don't start it at login", false),
		&cobra.Command{Use: "status", Short: "Show whether it starts at login", Args: noArgs, RunE: cmd.RunE})
	return cmd
}

func (c *commands) showAutostart(m *machine.Machine) error {
	status, err := login.Status(m)
	if err != nil {
		return err
	}
	text := "Switchyard does not start at login."
	switch {
	case status.On:
		text = "Switchyard starts at login: " + status.Program
	case status.ByUser:
		text = "Switchyard does not start at login: it is turned off in the desktop's settings. To turn it on: switchyard autostart on"
	}
	return c.result(status, fmt.Sprintf("%s\n  record: %s\n", text, tilde(status.Where, c.Home)))
}

func (c *commands) quit() *cobra.Command {
	return &cobra.Command{
		Use: "quit", Short: "Quit the running Switchyard, keeping the route", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := c.open()
			if m == nil {
				return err
			}
			ran, err := uninstall.Quit(cmd.Context(), m)
			if err == nil && !ran {
				_, err = fmt.Fprintln(c.Stdout, "Switchyard is not running")
			}
			return err
		},
	}
}

func (c *commands) uninstall() *cobra.Command {
	var r uninstall.Request
	var yes bool
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Restore all settings and delete Switchyard's own files", Args: noArgs,
		Long: `Uninstall quits the running Switchyard, restores Claude Code's settings, and
removes the start at login, the ledger, the log, the audit file and the
configuration. Models stay. Remove the program with your package manager.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := c.open()
			if m == nil {
				return err // a broken configuration alone does not prevent it
			}
			if !yes && (!c.Interactive || !c.agreed(cmd.Context(), "Restore all settings and delete Switchyard's own files?")) {
				return &fault.Error{Kind: fault.Refused, What: "uninstalling", Why: "not confirmed", Remedy: "run: switchyard uninstall --yes"}
			}
			done, err := uninstall.Everything(cmd.Context(), m, r)
			if c.json && err == nil {
				return c.print(done)
			}
			for _, file := range done.Restored {
				fmt.Fprintf(c.Stdout, "restored %s\n", tilde(file, c.Home))
			}
			for _, name := range done.Kept {
				fmt.Fprintf(c.Stdout, "kept %s, which was changed after the switch\n", name)
			}
			for _, file := range done.Removed {
				fmt.Fprintf(c.Stdout, "removed %s\n", tilde(file, c.Home))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.KeepConfig, "keep-config", false, "keep the configuration")
	flags.BoolVar(&r.Force, "force", false, "even while sessions use a local model")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
