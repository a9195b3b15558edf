package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) pull() *cobra.Command {
	return &cobra.Command{
		Use: "pull MODEL", Short: "Pull a model from its registry; an interrupted pull resumes", Args: exactlyOne("model"),
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			show, clear := c.pullProgress()
			last, err := pulls.Pull(ctx, m, args[0], show)
			clear()
			if err != nil {
				return err
			}
			if c.json {
				return c.print(last)
			}
			parts := nonEmpty(words.Size(last.Size), contextText(last.Context))
			_, err = fmt.Fprintf(c.Stdout, "Pulled %s: %s. Use it: switchyard local %s\n", last.Ref, strings.Join(parts, ", "), last.Ref)
			return err
		}),
	}
}

func (c *commands) update() *cobra.Command {
	return &cobra.Command{
		Use: "update [MODEL]", Short: "Update models that have a newer version", Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			outdated, err := models.Outdated(ctx, m, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if len(outdated) == 0 {
				_, err := fmt.Fprintln(c.Stdout, "All models are up to date.")
				return err
			}
			for _, model := range outdated {
				show, clear := c.pullProgress()
				_, err := pulls.Pull(ctx, m, model.Tag, show)
				clear()
				if err != nil {
					return err
				}
				fmt.Fprintf(c.Stdout, "Updated %s.\n", runner.Short(model.Tag))
			}
			return nil
		}),
	}
}

// pullProgress draws a bar on a terminal, and else prints a line for every tenth.
func (c *commands) pullProgress() (show func(state.Pull), clear func()) {
	if c.json {
		return func(state.Pull) {}, func() {}
	}
	if c.Terminal {
		return func(p state.Pull) { fmt.Fprint(c.Stderr, wipe+cut(pullBar(p), 78)) }, func() { fmt.Fprint(c.Stderr, wipe) }
	}
	said := ""
	return func(p state.Pull) {
		line := p.Ref + ": " + string(p.State)
		switch {
		case p.State == state.Waiting:
			line = p.Ref + ": " + p.Why + "; " + p.Remedy
		case p.State == state.Pulling && p.Total > 0:
			line = fmt.Sprintf("%s: %d %% of %s", p.Ref, 10*(10*p.Done/p.Total), words.Size(p.Total))
		case p.State != state.Queued:
			return
		}
		if line != said {
			said = line
			fmt.Fprintln(c.Stderr, line)
		}
	}, func() {}
}

// pullBar is one pull as a line of a terminal, of at most 78 places.
func pullBar(p state.Pull) string {
	const width, longName = 12, 22
	name := []rune(p.Ref)
	if len(name) > longName {
		name = append([]rune{'…'}, name[len(name)-longName+1:]...)
	}
	line := string(name)
	switch {
	case p.State == state.Waiting:
		return line + "  " + p.Why + "; " + p.Remedy
	case p.State == state.Queued:
		return line + "  queued"
	case p.Total == 0:
		return line + "  …"
	}
	full := int(width * p.Done / p.Total)
	line += fmt.Sprintf("  %s%s %3d %% of %s", strings.Repeat("█", full), strings.Repeat("░", width-full), 100*p.Done/p.Total, words.Size(p.Total))
	if p.Rate > 0 {
		line += "  " + words.Size(int64(p.Rate)) + "/s"
	}
	if p.Left > 0 {
		line += "  " + words.Duration(p.Left) + " left"
	}
	return line
}
