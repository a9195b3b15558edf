package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"switchyard/service"
	"switchyard/service/claude"
	"switchyard/service/runner"
)

func (c *commands) explain() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "explain", Short: "Show which settings layer decides, variable by variable", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			if project == "" {
				project = c.Folder
			}
			settings, skipped := yard.Explain(project)
			for i := range settings {
				hideSecrets(&settings[i])
			}
			for _, s := range skipped {
				fmt.Fprintf(c.Stderr, "switchyard: Claude Code ignores %s: %s; %s\n", s.Where(), s.Why, s.Remedy)
			}
			if c.json {
				return c.print(append([]claude.Setting{}, settings...))
			}
			_, err = io.WriteString(c.Stdout, explainText(settings, c.Home))
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "for a Claude Code started in this folder (default: here)")
	return cmd
}

func (c *commands) check() *cobra.Command {
	var model, wish string
	var direct bool
	cmd := &cobra.Command{
		Use: "check", Short: "Prove that a model works for Claude Code, without switching", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			tokens, err := parseTokens(wish)
			if err != nil {
				return err
			}
			proofs := []proofJSON{}
			progress, clear := c.progress()
			progress.Done = func(p runner.Proof) {
				one := proofJSON{p.Name, p.OK, p.Took.Milliseconds(), p.Detail, p.Remedy}
				proofs = append(proofs, one)
				if !c.json {
					clear()
					fmt.Fprint(c.Stdout, one.text())
				}
			}
			err = yard.Check(cmd.Context(), model, tokens, direct, progress)
			clear()
			if c.json {
				if printErr := c.print(proofs); printErr != nil {
					return printErr
				}
			}
			var failed *service.Error
			if errors.As(err, &failed) && len(proofs) > 0 {
				return errReported{failed.Kind}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "the model (default: the chosen one)")
	cmd.Flags().StringVar(&wish, "context", "", "the context in tokens, such as 64K (default: the model's)")
	cmd.Flags().BoolVar(&direct, "direct", false, "ask Model Runner itself, not the gateway of the running Switchyard")
	_ = cmd.RegisterFlagCompletionFunc("model", c.completeModel)
	return cmd
}

type proofJSON struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
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
	upper := strings.ToUpper(name)
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
