package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"switchyard/service"
)

func (c *commands) pull() *cobra.Command {
	return &cobra.Command{
		Use: "pull MODEL", Short: "Get a model from its registry; an interrupted pull goes on where it ended", Args: exactlyOne("model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			show, clear := c.pullProgress()
			last, err := yard.Pull(cmd.Context(), args[0], show)
			clear()
			if err != nil {
				return err
			}
			if c.json {
				return c.print(last)
			}
			parts := nonEmpty(service.Size(last.Size), contextText(last.Context))
			_, err = fmt.Fprintf(c.Stdout, "%s is here: %s. Use it: switchyard local %s\n", last.Ref, strings.Join(parts, ", "), last.Ref)
			return err
		},
	}
}

func contextText(tokens int) string {
	if tokens == 0 {
		return ""
	}
	return "context " + service.Tokens(tokens)
}

// exactlyOne takes one argument of a kind.
func exactlyOne(kind string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("name one %s", kind)}
		}
		return nil
	}
}

// pullProgress draws a bar on a terminal, and else prints a line for every tenth.
func (c *commands) pullProgress() (show func(service.Pull), clear func()) {
	const wipe = "\r\x1b[K"
	if c.json {
		return func(service.Pull) {}, func() {}
	}
	if c.Terminal {
		return func(p service.Pull) { fmt.Fprint(c.Stderr, wipe+cut(pullBar(p), 78)) }, func() { fmt.Fprint(c.Stderr, wipe) }
	}
	said := ""
	return func(p service.Pull) {
		line := p.Ref + ": " + string(p.State)
		switch {
		case p.State == service.Waiting:
			line = p.Ref + ": " + p.Why + "; " + p.Remedy
		case p.State == service.Pulling && p.Total > 0:
			line = fmt.Sprintf("%s: %d %% of %s", p.Ref, 10*(10*p.Done/p.Total), service.Size(p.Total))
		case p.State != service.Queued:
			return
		}
		if line != said {
			said = line
			fmt.Fprintln(c.Stderr, line)
		}
	}, func() {}
}

// pullBar is one pull as a line of a terminal.
func pullBar(p service.Pull) string {
	switch {
	case p.State == service.Waiting:
		return p.Ref + "  " + p.Why + "; " + p.Remedy
	case p.State == service.Queued:
		return p.Ref + "  queued"
	case p.Total == 0:
		return p.Ref + "  …"
	}
	const width = 20
	full := int(width * p.Done / p.Total)
	line := fmt.Sprintf("%s  %s%s %3d %%  %s of %s", p.Ref, strings.Repeat("█", full), strings.Repeat("░", width-full), 100*p.Done/p.Total, service.Size(p.Done), service.Size(p.Total))
	if p.Rate > 0 {
		line += "  " + service.Size(int64(p.Rate)) + "/s"
	}
	if p.Left > 0 {
		line += "  " + service.Duration(p.Left) + " left"
	}
	return line
}
