package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) prune() *cobra.Command {
	var older string
	var dry, yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove unused models", Args: noArgs,
		Long: `Prune removes models that Claude Code has not used for a while; a model that it
never used counts from when Switchyard first saw it. The model that Claude Code
uses, the chosen one and those in memory stay.`,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			age, err := parseAge(older)
			if err != nil {
				return err
			}
			unused, err := models.Unused(ctx, m, age)
			if err != nil {
				return err
			}
			if c.json && dry {
				return c.print(append([]state.Model{}, unused...))
			}
			if len(unused) == 0 {
				_, err := fmt.Fprintln(c.Stdout, "Nothing to remove.")
				return err
			}
			for _, model := range unused {
				fmt.Fprintf(c.Stdout, "%s  %s\n", runner.Short(model.Tag), words.Size(model.Size))
			}
			if dry {
				return nil
			}
			if !yes && !c.agreed(ctx, fmt.Sprintf("Remove %s?", words.Count(len(unused), "model", "models"))) {
				return nil
			}
			var freed int64
			for _, model := range unused {
				_, n, err := models.Remove(ctx, m, model.Tag, false)
				if err != nil {
					return err
				}
				freed += n
			}
			_, err = fmt.Fprintf(c.Stdout, "Removed %s, freed %s.\n", words.Count(len(unused), "model", "models"), cmp.Or(words.Size(freed), "no space (other tags share the files)"))
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&older, "older", "30d", "how long a model was not used: 30d, 12h")
	flags.BoolVar(&dry, "dry-run", false, "only list them")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// parseAge reads 30d or what time.ParseDuration does.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	age, err := time.ParseDuration(text)
	if err != nil || age < 0 {
		return 0, usageError{fmt.Errorf("invalid age %q: use a form like 30d or 12h", text)}
	}
	return age, nil
}
