package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service"
)

func (c *commands) doctor() *cobra.Command {
	var fix, yes bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find what is wrong with this machine's set-up, the worst first", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			found := yard.Doctor(cmd.Context())
			if fix {
				if c.fix(cmd.Context(), found, yes) {
					found = yard.Doctor(cmd.Context())
				}
			}
			if c.json {
				err = c.print(append([]service.Finding{}, found...))
			} else {
				_, err = io.WriteString(c.Stdout, doctorText(found))
			}
			if err == nil && len(found) > 0 && found[0].Severity == service.Bad {
				return errReported{service.Failed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "do what can be done safely, after asking for each")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --fix: do not ask")
	return cmd
}

// fix does what a person agrees to. It tells whether anything was done.
func (c *commands) fix(ctx context.Context, found []service.Finding, yes bool) (did bool) {
	for _, f := range found {
		if !f.Fixable {
			continue
		}
		fmt.Fprintf(c.Stderr, "%s\n", f.Text)
		if !yes && !strings.HasPrefix(c.ask(ctx, "→ "+f.Command+" ? [y/N] "), "y") {
			continue
		}
		if ctx.Err() != nil {
			return did
		}
		did = true
		if err := f.Fix(ctx); err != nil {
			fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
		} else {
			fmt.Fprintf(c.Stderr, "done: %s\n", f.Command)
		}
	}
	return did
}

// doctorText is what "doctor" prints.
func doctorText(found []service.Finding) string {
	if len(found) == 0 {
		return "Nothing is wrong: Docker or the runner's own process, Model Runner and its models, the disk, Claude Code and its settings, proxies.\n"
	}
	text := findingsText(found)
	if n := fixable(found); n > 0 {
		text += fmt.Sprintf("switchyard doctor --fix can do %d of them.\n", n)
	}
	return text
}

func fixable(found []service.Finding) (n int) {
	for _, f := range found {
		if f.Fixable {
			n++
		}
	}
	return n
}

// findingsText lists findings, each with its remedy.
func findingsText(found []service.Finding) string {
	var b strings.Builder
	for _, f := range found {
		mark := "✗"
		if f.Severity == service.Poor {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %s\n", mark, f.Text)
		remedy := f.Remedy
		if f.Command != "" && !strings.Contains(remedy, f.Command) {
			remedy += ": " + f.Command
		}
		fmt.Fprintf(&b, "  → %s\n", remedy)
	}
	return b.String()
}
