package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) models() *cobra.Command {
	cmd := &cobra.Command{
		Use: "models", Short: "List Model Runner's models", Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			all, err := models.List(ctx, m)
			if err != nil {
				return err
			}
			return c.result(append([]state.Model{}, all...), modelsText(all, time.Now()))
		}),
	}
	cmd.AddCommand(c.prune(), c.update())
	return cmd
}

// modelsText is what "models" prints.
func modelsText(all []state.Model, now time.Time) string {
	if len(all) == 0 {
		var b strings.Builder
		b.WriteString("No models yet. These can drive Claude Code:\n")
		for _, s := range assets.Suggestions() {
			fmt.Fprintf(&b, "  switchyard pull %-22s %s, %s, context %s\n", s.Ref, s.About, words.Size(s.Size), words.Tokens(s.Context))
		}
		return b.String()
	}
	var b strings.Builder
	w := columns(&b, 3)
	fmt.Fprintln(w, "MODEL\tSIZE\tQUANTIZATION\tCONTEXT\tGPU\tIN MEMORY\tTOOLS\tLAST USED")
	for _, m := range all {
		held := ""
		switch {
		case m.InUse:
			held = "answering"
		case m.Loaded:
			held = "loaded"
		}
		tools := ""
		if m.Tools != nil {
			tools = map[bool]string{true: "yes", false: "no"}[*m.Tools]
		}
		used := ""
		if !m.Used.IsZero() {
			used = words.Since(m.Used, now)
		}
		fmt.Fprintln(w, strings.Join([]string{runner.Short(m.Tag), words.Size(m.Size), m.Quantization, words.Tokens(m.Context), fitWord(m.Fit), held, tools, used}, "\t"))
	}
	_ = w.Flush()
	b.WriteString(unfitText(all))
	return trimLines(b.String())
}

// unfitText says which models Claude Code can only talk with, and why.
func unfitText(all []state.Model) string {
	var plain, silent []string
	for _, m := range all {
		switch {
		case m.NoTools:
			plain = append(plain, runner.Short(m.Tag))
		case m.Unfit():
			silent = append(silent, runner.Short(m.Tag))
		}
	}
	var b strings.Builder
	if len(plain) > 0 {
		fmt.Fprintf(&b, "! Claude Code can only talk with %s: no tools in the chat template\n", words.Some(plain))
	}
	if len(silent) > 0 {
		fmt.Fprintf(&b, "! Claude Code can only talk with %s: asked for a tool call, only text came back\n", words.Some(silent))
	}
	if b.Len() > 0 {
		b.WriteString("  → choose a model that calls tools, such as ai/qwen3-coder\n")
	}
	return b.String()
}

// fitWord is a verdict in a table; nothing when it is not known.
func fitWord(v gpu.Verdict) string {
	if v == gpu.Unknown {
		return ""
	}
	return strings.ReplaceAll(string(v), "-", " ")
}

func (c *commands) load() *cobra.Command {
	return &cobra.Command{
		Use: "load MODEL", Short: "Load a model into memory", Args: exactlyOne("model"), ValidArgsFunction: c.completeModel,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			progress, clear := c.progress()
			if progress.Begin != nil {
				progress.Begin("load")
			}
			start := time.Now()
			tag, err := models.Preload(ctx, m, args[0])
			clear()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "Loaded %s in %.1f s.\n", runner.Short(tag), time.Since(start).Seconds())
			return err
		}),
	}
}

func (c *commands) unload() *cobra.Command {
	return &cobra.Command{
		Use: "unload [MODEL]", Short: "Unload a model from memory, or all of them", Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			name := strings.Join(args, "")
			n, err := models.Unload(ctx, m, name)
			if err != nil {
				return err
			}
			text := "Unloaded " + words.Count(n, "model", "models") + "."
			if n == 0 {
				text = "Nothing unloaded: the model is not loaded, or is busy answering."
			}
			_, err = fmt.Fprintln(c.Stdout, text)
			return err
		}),
	}
}

func (c *commands) rm() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm MODEL", Short: "Remove a model from the disk", Args: exactlyOne("model"), ValidArgsFunction: c.completeModel,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			tag, freed, err := models.Remove(ctx, m, args[0], force)
			if err != nil {
				return err
			}
			space := "No space freed: other tags share its files."
			if freed > 0 {
				space = "Freed " + words.Size(freed) + "."
			}
			_, err = fmt.Fprintf(c.Stdout, "Removed %s. %s\n", runner.Short(tag), space)
			return err
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "even when Claude Code uses it")
	return cmd
}

func (c *commands) context() *cobra.Command {
	var kv string
	cmd := &cobra.Command{
		Use: "context MODEL TOKENS", Short: "Create a variant of a model with another context size",
		Long: `Context creates another tag of a model, such as local/qwen3-coder:64k, that Model
Runner loads with that many tokens. The tags share the weights, and the old one
stays. Where Claude Code uses the old tag, it is switched to the new one.

With --kv q8_0 the conversation's cache takes about half the memory, with q4_0
about a quarter, at some cost in quality. Model Runner forgets this setting when
it restarts.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("name a model and a token count such as 64K")}
			}
			return nil
		},
		ValidArgsFunction: c.completeModel,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			tokens, err := parseTokens(args[1])
			if err != nil {
				return err
			}
			if !isCacheType(kv) {
				return usageError{fmt.Errorf("invalid --kv %q: use f16, q8_0 or q4_0", kv)}
			}
			tag, current, err := models.Resize(ctx, m, args[0], tokens)
			if err != nil {
				return err
			}
			if kv != "" {
				if err := models.QuantiseCache(ctx, m, tag, kv); err != nil {
					return err
				}
			}
			if !c.json {
				fmt.Fprintf(c.Stdout, "%s will be loaded with a context of %s tokens.\n", runner.Short(tag), words.Tokens(tokens))
			}
			if !current {
				if c.json {
					return c.print(map[string]any{"model": tag, "context": tokens})
				}
				return nil
			}
			route := status.Look(ctx, m).Route
			return c.move(ctx, &switchFlags{}, route, []string{tag})
		}),
	}
	cmd.Flags().StringVar(&kv, "kv", "", "the type of the conversation's cache: f16, q8_0 or q4_0")
	return cmd
}

// isCacheType reports whether llama.cpp keeps the conversation's cache so; nothing is its default.
func isCacheType(kv string) bool {
	return slices.Contains([]string{"", "f16", "q8_0", "q4_0"}, kv)
}

func contextText(tokens int) string {
	if tokens == 0 {
		return ""
	}
	return "context " + words.Tokens(tokens)
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
