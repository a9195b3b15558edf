package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"switchyard/service"
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
				found = c.fix(cmd.Context(), yard, found, yes)
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

// fix does what a person agrees to, and looks again.
func (c *commands) fix(ctx context.Context, yard *service.Yard, found []service.Finding, yes bool) []service.Finding {
	answers := bufio.NewScanner(c.Stdin)
	did := false
	for _, f := range found {
		if !f.Fixable {
			continue
		}
		fmt.Fprintf(c.Stderr, "%s\n", f.Text)
		if !yes {
			fmt.Fprintf(c.Stderr, "→ %s ? [y/N] ", f.Command)
			if !answers.Scan() || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answers.Text())), "y") {
				fmt.Fprintln(c.Stderr)
				continue
			}
		}
		did = true
		if err := f.Fix(ctx); err != nil {
			fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
		} else {
			fmt.Fprintf(c.Stderr, "done: %s\n", f.Command)
		}
	}
	if did {
		return yard.Doctor(ctx)
	}
	return found
}

// doctorText is what "doctor" prints.
func doctorText(found []service.Finding) string {
	if len(found) == 0 {
		return "Nothing is wrong: Docker or the runner's own process, Model Runner and its models, the disk, Claude Code and its settings, proxies.\n"
	}
	var b strings.Builder
	fixable := 0
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
		if f.Fixable {
			fixable++
		}
	}
	if fixable > 0 {
		fmt.Fprintf(&b, "switchyard doctor --fix can do %d of them.\n", fixable)
	}
	return b.String()
}
