package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"switchyard/service"
	"switchyard/service/gateway"
	"switchyard/service/runner"
)

// supervised connects to the Switchyard that runs, and says what to do when none does.
func (c *commands) supervised(ctx context.Context, what string) (*service.Supervised, error) {
	yard, err := c.open()
	if err != nil {
		return nil, err
	}
	running, err := yard.Supervised(ctx)
	if errors.Is(err, service.ErrNoSupervisor) {
		return nil, &service.Error{Kind: service.Refused, What: what, Why: "no Switchyard is running, and so no gateway", Remedy: "start it: switchyard", Err: err}
	}
	return running, err
}

func (c *commands) requests() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "requests", Short: "Show what the gateway served: sessions, tokens, times", Args: noArgs,
		Long: `Requests lists the last 1,000 requests that the gateway of the running
Switchyard served, oldest first. They are kept in memory only, and nothing of
what was said is.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const what = "listing the requests"
			running, err := c.supervised(cmd.Context(), what)
			if err != nil {
				return err
			}
			print, finish := c.requestsText, func() error { return nil }
			switch {
			case c.json && follow: // one object a line
				print = c.printLine
			case c.json:
				all := []gateway.Record{}
				print = func(r gateway.Record) error { all = append(all, r); return nil }
				finish = func() error { return c.print(all) }
			default:
				fmt.Fprint(c.Stdout, requestsHead)
			}
			err = running.Requests(cmd.Context(), follow, print)
			switch {
			case err != nil && cmd.Context().Err() == nil:
				return &service.Error{Kind: service.Failed, What: what, Why: err.Error(), Remedy: "start Switchyard again if it ended", Err: err}
			case err == nil && follow && cmd.Context().Err() == nil:
				return &service.Error{Kind: service.Failed, What: what, Why: "Switchyard ended", Remedy: "start it again: switchyard"}
			}
			return finish()
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on and print new ones")
	return cmd
}

const requestsHead = "TIME      SESSION   MODEL                     STATUS     INPUT    CACHED   OUTPUT   FIRST   TOTAL  QUEUED   TOK/S  CONTEXT  ERROR\n"

func (c *commands) requestsText(r gateway.Record) error {
	session := r.SessionID[:min(len(r.SessionID), 8)]
	if r.AgentID != "" {
		session += "+" // a subagent's
	}
	seconds := func(ms int64) string { return fmt.Sprintf("%.1fs", float64(ms)/1000) }
	_, err := fmt.Fprintf(c.Stdout, "%-8s  %-9s %-25s %6d  %8d  %8d %8d %7s %7s %7s  %6.1f  %6.1f%%  %s\n",
		r.Time.Local().Format(time.TimeOnly), session, runner.Short(r.Model), r.Status, r.InputTokens, r.CachedTokens, r.OutputTokens,
		seconds(r.TTFT), seconds(r.Duration), seconds(r.Queued), r.TokensPerS, r.ContextUsedPct, r.Error)
	return err
}

func (c *commands) gateway() *cobra.Command {
	var rotate bool
	cmd := &cobra.Command{
		Use: "gateway", Short: "Show what the gateway does just now", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, err := c.supervised(cmd.Context(), "asking the gateway")
			if err != nil {
				return err
			}
			if rotate {
				if err := running.RotateToken(cmd.Context()); err != nil {
					return &service.Error{Kind: service.Failed, What: "making a new token", Why: err.Error(), Remedy: "check the folder " + c.Paths.State, Err: err}
				}
			}
			g, err := running.Gateway(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.print(g)
			}
			fmt.Fprint(c.Stdout, gatewayText(g))
			return nil
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate-token", false, "first make a new token; Claude Code's settings and running sessions follow")
	return cmd
}

// guard is how Switchyard starts its own second process; see service.Guard.
func (c *commands) guard() *cobra.Command {
	return &cobra.Command{
		Use: "guard", Hidden: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			log, closeLog := service.OpenLog(yard.Paths)
			defer closeLog()
			return service.Guard(cmd.Context(), yard, log, os.Stdin)
		},
	}
}
