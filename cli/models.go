package cli

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/runner"
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

func (c *commands) models() *cobra.Command {
	cmd := &cobra.Command{
		Use: "models", Short: "List Model Runner's models", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			all, err := yard.ListModels(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.print(append([]service.Model{}, all...))
			}
			_, err = io.WriteString(c.Stdout, modelsText(all, time.Now()))
			return err
		},
	}
	cmd.AddCommand(c.prune(), c.update())
	return cmd
}

// modelsText is what "models" prints.
func modelsText(all []service.Model, now time.Time) string {
	if len(all) == 0 {
		var b strings.Builder
		b.WriteString("No models yet. These can drive Claude Code:\n")
		for _, s := range assets.Suggestions() {
			fmt.Fprintf(&b, "  switchyard pull %-22s %s, %s, context %s\n", s.Ref, s.About, service.Size(s.Size), service.Tokens(s.Context))
		}
		return b.String()
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSIZE\tQUANTIZATION\tCONTEXT\tGPU\tIN MEMORY\tTOOLS\tLAST USED")
	for _, m := range all {
		memory := ""
		switch {
		case m.InUse:
			memory = "answering"
		case m.Loaded:
			memory = "loaded"
		}
		tools := ""
		if m.Tools != nil {
			tools = map[bool]string{true: "yes", false: "no"}[*m.Tools]
		}
		used := ""
		if !m.Used.IsZero() {
			used = service.Since(m.Used, now)
		}
		fmt.Fprintln(w, strings.Join([]string{runner.Short(m.Tag), service.Size(m.Size), m.Quantization, service.Tokens(m.Context), fitWord(m.Fit), memory, tools, used}, "\t"))
	}
	_ = w.Flush()
	return trimLines(b.String())
}

// fitWord is a verdict in a table; nothing when it is not known.
func fitWord(v gpu.Verdict) string {
	if v == gpu.Unknown {
		return ""
	}
	return strings.ReplaceAll(string(v), "-", " ")
}

func (c *commands) prune() *cobra.Command {
	var older string
	var dry, yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove the models that nobody uses", Args: noArgs,
		Long: `Prune removes the models that Claude Code has not used for a while, counted from
when Switchyard first saw them. The one that Claude Code is pointed to, the chosen
one and those in memory stay.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			age, err := parseAge(older)
			if err != nil {
				return err
			}
			unused, err := yard.Unused(cmd.Context(), age)
			if err != nil {
				return err
			}
			if c.json && dry {
				return c.print(append([]service.Model{}, unused...))
			}
			if len(unused) == 0 {
				_, err := fmt.Fprintln(c.Stdout, "Nothing to remove.")
				return err
			}
			for _, m := range unused {
				fmt.Fprintf(c.Stdout, "%s  %s\n", runner.Short(m.Tag), service.Size(m.Size))
			}
			if dry {
				return nil
			}
			if !yes {
				fmt.Fprintf(c.Stderr, "Remove %s? [y/N] ", service.Count(len(unused), "model", "models"))
				answer := bufio.NewScanner(c.Stdin)
				if !answer.Scan() || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer.Text())), "y") {
					return nil
				}
			}
			var freed int64
			for _, m := range unused {
				_, n, err := yard.Remove(cmd.Context(), m.Tag, false)
				if err != nil {
					return err
				}
				freed += n
			}
			_, err = fmt.Fprintf(c.Stdout, "Removed %s, freed %s.\n", service.Count(len(unused), "model", "models"), cmp.Or(service.Size(freed), "nothing (other tags share them)"))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&older, "older", "30d", "not used for so long: 30d, 12h")
	flags.BoolVar(&dry, "dry-run", false, "only list them")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (c *commands) update() *cobra.Command {
	return &cobra.Command{
		Use: "update [MODEL]", Short: "Pull the models again whose tag is a newer model by now", Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			outdated, err := yard.Outdated(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if len(outdated) == 0 {
				_, err := fmt.Fprintln(c.Stdout, "Nothing newer is there.")
				return err
			}
			for _, m := range outdated {
				show, clear := c.pullProgress()
				_, err := yard.Pull(cmd.Context(), m.Tag, show)
				clear()
				if err != nil {
					return err
				}
				fmt.Fprintf(c.Stdout, "%s is updated.\n", runner.Short(m.Tag))
			}
			return nil
		},
	}
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
		return 0, usageError{fmt.Errorf("%q is no age such as 30d or 12h", text)}
	}
	return age, nil
}

func (c *commands) load() *cobra.Command {
	return &cobra.Command{
		Use: "load MODEL", Short: "Take a model into memory", Args: exactlyOne("model"), ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			progress, clear := c.progress()
			if progress.Begin != nil {
				progress.Begin("load")
			}
			start := time.Now()
			tag, err := yard.Load(cmd.Context(), args[0])
			clear()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "%s is in memory, after %.1f s.\n", runner.Short(tag), time.Since(start).Seconds())
			return err
		},
	}
}

func (c *commands) unload() *cobra.Command {
	return &cobra.Command{
		Use: "unload [MODEL]", Short: "Take a model out of memory, or all of them", Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			name := strings.Join(args, "")
			n, err := yard.Unload(cmd.Context(), name)
			if err != nil {
				return err
			}
			text := service.Count(n, "model was", "models were") + " unloaded."
			if n == 0 {
				text = "Nothing was unloaded: it is not in memory, or answers just now."
			}
			_, err = fmt.Fprintln(c.Stdout, text)
			return err
		},
	}
}

func (c *commands) rm() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm MODEL", Short: "Remove a model from the disk", Args: exactlyOne("model"), ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			tag, freed, err := yard.Remove(cmd.Context(), args[0], force)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "%s is removed; %s freed.\n", runner.Short(tag), cmp.Or(service.Size(freed), "nothing"))
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "even when Claude Code is pointed to it")
	return cmd
}

func (c *commands) context() *cobra.Command {
	var kv string
	cmd := &cobra.Command{
		Use: "context MODEL TOKENS", Short: "Make a model of the same weights that is loaded with another context",
		Long: `Context makes another tag of a model, such as local/qwen3-coder:64k, that Model
Runner loads with so many tokens. The weights are shared, the old tag stays.
Where Claude Code is pointed to the old one, it is pointed to the new one.

With --kv q8_0 the cache of the conversation takes about half of the memory, with
q4_0 about a quarter, at some cost in quality. Model Runner forgets that when it
restarts.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("name a model and a number of tokens, such as 64K")}
			}
			return nil
		},
		ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			tokens, err := parseTokens(args[1])
			if err != nil {
				return err
			}
			switch kv {
			case "", "f16", "q8_0", "q4_0":
			default:
				return usageError{fmt.Errorf("--kv %q is none of f16, q8_0, q4_0", kv)}
			}
			tag, current, err := yard.Resize(cmd.Context(), args[0], tokens)
			if err != nil {
				return err
			}
			if kv != "" {
				if err := yard.QuantiseCache(cmd.Context(), tag, kv); err != nil {
					return err
				}
			}
			if !c.json {
				fmt.Fprintf(c.Stdout, "%s is loaded with %s tokens from now on.\n", runner.Short(tag), service.Tokens(tokens))
			}
			if !current {
				if c.json {
					return c.print(map[string]any{"model": tag, "context": tokens})
				}
				return nil
			}
			route := yard.Look(cmd.Context()).Route
			return c.move(cmd.Context(), &switchFlags{}, route, []string{tag})
		},
	}
	cmd.Flags().StringVar(&kv, "kv", "", "the type of the conversation's cache: f16, q8_0, q4_0")
	return cmd
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

// pullBar is one pull as a line of a terminal, of at most 78 places.
func pullBar(p service.Pull) string {
	const width, longName = 12, 22
	name := []rune(p.Ref)
	if len(name) > longName {
		name = append([]rune{'…'}, name[len(name)-longName+1:]...)
	}
	line := string(name)
	switch {
	case p.State == service.Waiting:
		return line + "  " + p.Why + "; " + p.Remedy
	case p.State == service.Queued:
		return line + "  queued"
	case p.Total == 0:
		return line + "  …"
	}
	full := int(width * p.Done / p.Total)
	total, unit, _ := strings.Cut(service.Size(p.Total), " ")
	line += fmt.Sprintf("  %s%s %3d %%  %s of %s %s", strings.Repeat("█", full), strings.Repeat("░", width-full), 100*p.Done/p.Total, inUnit(p.Done, unit), total, unit)
	if p.Rate > 0 {
		line += "  " + service.Size(int64(p.Rate)) + "/s"
	}
	if p.Left > 0 {
		line += "  " + service.Duration(p.Left) + " left"
	}
	return line
}

// inUnit writes a number of bytes in the unit of another.
func inUnit(bytes int64, unit string) string {
	value := float64(bytes)
	for _, u := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		if u == unit {
			break
		}
		value /= 1024
	}
	return strconv.FormatFloat(value, 'f', 1, 64)
}
