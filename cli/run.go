package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/launch"
)

// exitCode is that of the session that a command ran.
type exitCode int

func (exitCode) Error() string { return "" }

func (c *commands) run() *cobra.Command {
	var r launch.Request
	var wait, share bool
	cmd := &cobra.Command{
		Use: "run [--model MODEL] [--lean] [--wait|--share] [--cloud] -- [claude arguments]", Short: "Start one Claude Code session on the local model without changing settings",
		Long: `Run starts Claude Code on the chosen model, whatever the settings say, using
settings that only this session reads. Arguments after -- go to Claude Code. The
process becomes Claude Code: terminal, signals and exit code are its own.

A model runs one such session at a time, unless you give --share.`,
		Example: "  switchyard run\n  switchyard run --model ai/qwen3-coder --lean -- -p 'explain main.go'\n  switchyard run --cloud -- --continue",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case wait && share:
				return usageError{errors.New("use either --wait or --share, not both")}
			case r.Cloud && (r.Model != "" || r.Lean || wait || share):
				return usageError{errors.New("--cloud cannot be used with --model, --lean, --wait or --share, which are for local models")}
			}
			m, err := c.open()
			if err != nil {
				return err
			}
			r.Folder, r.Args = c.Folder, args
			r.Queue = launch.Queue{Ask: func(others string) launch.Turn { return c.askForTurn(cmd.Context(), others) }, Tell: func(text string) { fmt.Fprintf(c.Stderr, "switchyard: %s\n", text) }}
			if !c.Interactive {
				r.Queue.Ask = nil
			}
			if wait {
				r.Queue.Turn = launch.WaitTurn
			}
			if share {
				r.Queue.Turn = launch.ShareTurn
			}
			progress, clear := c.progress()
			session, err := launch.Prepare(cmd.Context(), m, r, progress)
			clear()
			if err != nil {
				return err
			}
			code, err := session.Start()
			if err != nil {
				return err
			}
			return exitCode(code)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&r.Model, "model", "", "the model (default: the one in use, or the chosen one)")
	flags.BoolVar(&r.Lean, "lean", false, "with a short prompt and few tools, for small models")
	flags.BoolVar(&wait, "wait", false, "wait until the sessions on the model have ended, first come, first served")
	flags.BoolVar(&share, "share", false, "run alongside other sessions on the model")
	flags.BoolVar(&r.Cloud, "cloud", false, "the reverse: one session in the cloud while the settings are local")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (arguments for claude go after --)", err)}
	})
	_ = cmd.RegisterFlagCompletionFunc("model", c.completeModel)
	return cmd
}

// askForTurn asks a person what to do about other sessions on the model.
func (c *commands) askForTurn(ctx context.Context, others string) launch.Turn {
	switch c.ask(ctx, "The model is in use by "+others+". They would slow each other down.\nWait, share, or cancel? [w/s/N] ") {
	case "w", "wait":
		return launch.WaitTurn
	case "s", "share":
		return launch.ShareTurn
	}
	return launch.AskFirst
}
