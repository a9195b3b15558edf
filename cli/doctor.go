package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

func (c *commands) doctor() *cobra.Command {
	var fix, yes bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find problems with this machine's setup, worst first", Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			found := doctor.Examine(ctx, m)
			if fix {
				did, err := c.fix(ctx, found, yes)
				if err != nil {
					return err
				}
				if did {
					found = doctor.Examine(ctx, m)
				}
			}
			err := c.result(append([]state.Finding{}, found...), doctorText(found))
			if err == nil && len(found) > 0 && found[0].Severity == state.SeverityError {
				return errReported{fault.Failed}
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "fix what can be fixed safely, asking for each")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --fix: do not ask")
	return cmd
}

// fix makes the repairs that the user agrees to, and reports whether there were any; Ctrl-C ends it.
func (c *commands) fix(ctx context.Context, found []state.Finding, yes bool) (did bool, err error) {
	for _, f := range found {
		if !f.Fixable {
			continue
		}
		fmt.Fprintf(c.Stderr, "%s\n", f.Text)
		agreed := yes || c.agreed(ctx, "→ "+f.Command+" ?")
		if ctx.Err() != nil {
			return did, errReported{fault.Failed}
		}
		if !agreed {
			continue
		}
		did = true
		if err := f.Fix(ctx); err != nil {
			fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
		} else {
			fmt.Fprintf(c.Stderr, "done: %s\n", f.Command)
		}
	}
	return did, nil
}

// doctorText is what "doctor" prints.
func doctorText(found []state.Finding) string {
	if len(found) == 0 {
		return "No problems found. Checked: Docker or the runner's process, Model Runner and its models, the disk, Claude Code and its settings, proxies.\n"
	}
	text := findingsText(found)
	if n := fixable(found); n > 0 {
		text += fmt.Sprintf("switchyard doctor --fix can fix %d of them.\n", n)
	}
	return text
}

func fixable(found []state.Finding) (n int) {
	for _, f := range found {
		if f.Fixable {
			n++
		}
	}
	return n
}

// findingsText lists findings, each with its remedy.
func findingsText(found []state.Finding) string {
	var b strings.Builder
	for _, f := range found {
		mark := "✗"
		if f.Severity == state.SeverityWarning {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %s\n  → %s\n", mark, f.Text, f.Advice())
	}
	return b.String()
}
