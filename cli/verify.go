package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/offline"
)

// verify watches a command. What it reports goes beside the command's own output.
func (c *commands) verify(ctx context.Context, args []string) error {
	m, err := c.open()
	if err != nil {
		return err
	}
	out := c.Stdout
	if len(args) > 0 {
		out = c.Stderr
	}
	drawn := len(args) == 0 && c.Terminal && !c.json
	if drawn {
		fmt.Fprint(c.Stderr, "watching claude -p …")
	}
	v, err := offline.Verify(ctx, m, offline.VerifyRequest{Folder: c.Folder, Command: args, Terminal: len(args) > 0 && c.Interactive, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr})
	if drawn {
		fmt.Fprint(c.Stderr, wipe)
	}
	if err != nil {
		return err
	}
	if c.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(v)
	} else {
		_, err = io.WriteString(out, v.Text())
	}
	switch {
	case err != nil:
		return err
	case len(v.Attempts) > 0, v.Past != "":
		return errReported{fault.Failed}
	case v.ExitCode != 0:
		return exitCode(max(v.ExitCode, 1))
	}
	return nil
}

// fenced is how Switchyard starts a program that it watches; see service.Verify.
func (c *commands) fenced() *cobra.Command {
	return &cobra.Command{
		Use: "fenced -- PROGRAM [arguments]", Hidden: true, Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return offline.Fenced(args, c.Environ) },
	}
}
