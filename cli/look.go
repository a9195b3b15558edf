package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

func (c *commands) explain() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "explain", Short: "Show which settings layer wins, variable by variable", Args: noArgs,
		RunE: c.with(func(_ context.Context, m *machine.Machine, _ []string) error {
			if project == "" {
				project = c.Folder
			}
			list, skipped := m.Explain(project)
			for i := range list {
				hideSecrets(&list[i])
			}
			for _, s := range skipped {
				fmt.Fprintf(c.Stderr, "switchyard: Claude Code ignores %s: %s; %s\n", s.Where(), s.Why, s.Remedy)
			}
			return c.result(append([]claude.Setting{}, list...), explainText(list, c.Home))
		}),
	}
	cmd.Flags().StringVar(&project, "project", "", "for a Claude Code session started in this folder (default: this one)")
	return cmd
}

func (c *commands) check() *cobra.Command {
	var r doctor.Departure
	var wish string
	var direct, departure, fix, yes bool
	cmd := &cobra.Command{
		Use: "check", Short: "Prove that a model works for Claude Code, without switching", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (fix || yes) && !departure || yes && !fix {
				return usageError{errors.New("--fix needs --departure, and --yes needs --fix")}
			}
			m, err := c.open()
			if err != nil {
				return err
			}
			if r.Context, err = parseTokens(wish); err != nil {
				return err
			}
			proofs, err := c.prove(cmd.Context(), m, r, direct)
			if departure {
				r.Folder, r.Failed = c.Folder, err
				found := doctor.CheckDeparture(cmd.Context(), m, &r)
				if fix {
					did, err := c.fix(cmd.Context(), found, yes)
					if err != nil {
						return err
					}
					if did {
						proofs, r.Failed = c.prove(cmd.Context(), m, r, direct)
						found = doctor.CheckDeparture(cmd.Context(), m, &r)
					}
				}
				return c.card(proofs, found, r.Failed)
			}
			if c.json {
				if printErr := c.print(proofs); printErr != nil {
					return printErr
				}
			}
			var failed *fault.Error
			if errors.As(err, &failed) && len(proofs) > 0 {
				return errReported{failed.Kind}
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.Model, "model", "", "the model (default: the chosen one)")
	flags.StringVar(&wish, "context", "", "the context in tokens, such as 64K (default: the model's)")
	flags.BoolVar(&departure, "departure", false, "also check what would fail, or still use the network, while offline")
	flags.BoolVar(&fix, "fix", false, "with --departure: fix what can be fixed, asking for each")
	flags.BoolVar(&yes, "yes", false, "with --fix: do not ask")
	flags.BoolVar(&direct, "direct", false, "ask Model Runner directly, not through Switchyard's gateway")
	_ = cmd.RegisterFlagCompletionFunc("model", c.completeModel)
	return cmd
}

// prove runs the proofs and prints each as it ends.
func (c *commands) prove(ctx context.Context, m *machine.Machine, r doctor.Departure, direct bool) ([]proofJSON, error) {
	proofs := []proofJSON{}
	progress, clear := c.progress()
	progress.Done = func(p runner.Proof) {
		one := proofJSON{p.Name, p.OK, p.Minor, p.Took.Milliseconds(), p.Detail, p.Remedy}
		proofs = append(proofs, one)
		if !c.json {
			clear()
			fmt.Fprint(c.Stdout, one.text())
		}
	}
	err := switching.Check(ctx, m, r.Model, r.Context, direct, progress)
	clear()
	return proofs, err
}

// card says whether a machine is ready to have no network.
func (c *commands) card(proofs []proofJSON, found []state.Finding, failed error) error {
	ready := state.Ready(found, failed)
	if c.json {
		if err := c.print(struct {
			Ready    bool            `json:"ready"`
			Proofs   []proofJSON     `json:"proofs"`
			Findings []state.Finding `json:"findings"`
		}{ready, proofs, append([]state.Finding{}, found...)}); err != nil {
			return err
		}
	} else {
		// A proof's own line says it already.
		rest := slices.DeleteFunc(slices.Clone(found), func(f state.Finding) bool { return strings.HasPrefix(f.Code, "proof_") })
		fmt.Fprint(c.Stdout, findingsText(rest))
		if n := fixable(found); n > 0 {
			fmt.Fprintf(c.Stdout, "switchyard check --departure --fix can fix %d of them.\n", n)
		}
		switch {
		case !ready:
			fmt.Fprintln(c.Stdout, "Not ready. Fix the items marked ✗ while you are online.")
		case len(found) > 0:
			fmt.Fprintln(c.Stdout, "Ready, except for the items marked !. To go offline: switchyard offline")
		default:
			fmt.Fprintln(c.Stdout, "Ready. To go offline: switchyard offline")
		}
	}
	var e *fault.Error
	switch {
	case errors.As(failed, &e) && len(proofs) == 0:
		return failed
	case errors.As(failed, &e):
		return errReported{e.Kind}
	case !ready:
		return errReported{fault.Failed}
	}
	return nil
}

type proofJSON struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Minor  bool   `json:"minor,omitempty"` // it does not hold, and need not
	MS     int64  `json:"ms"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
}

// hideSecrets shows of a secret only its last two characters.
func hideSecrets(s *claude.Setting) {
	s.Value = visible(s.Name, s.Value)
	s.Others = slices.Clone(s.Others)
	for i := range s.Others {
		s.Others[i].Value = visible(s.Name, s.Others[i].Value)
	}
}

func visible(name, value string) string {
	upper := strings.ReplaceAll(strings.ToUpper(name), "TOKENS", "") // a number of them is no secret
	for _, word := range []string{"TOKEN", "KEY", "SECRET", "HEADERS"} {
		if strings.Contains(upper, word) {
			runes := []rune(value)
			if len(runes) < 2 {
				return "…"
			}
			return "…" + string(runes[len(runes)-2:])
		}
	}
	return withoutPassword(value)
}
