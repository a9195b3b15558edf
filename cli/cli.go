// Package cli is Switchyard's command line: arguments in, text or JSON out.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchyard/service"
	"switchyard/service/claude"
	"switchyard/service/runner"
)

// Env is what the command line needs from outside.
type Env struct {
	Stdout, Stderr io.Writer
	Terminal       bool // Stderr is a terminal: progress may be drawn
	Folder         string
	Home           string
	Environ        []string
	Paths          service.Paths
	Version        string
	// Tray runs the desktop face until the context ends.
	Tray func(context.Context, *service.Yard) error
}

// Exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitRefused
	exitUnreachable
)

// usageError is a wrong call.
type usageError struct{ error }

// errReported ends a command whose output already says what is wrong.
type errReported struct{ kind service.Kind }

func (errReported) Error() string { return "" }

// Run executes one command and returns its exit code.
func Run(ctx context.Context, env Env, args []string) int {
	c := &commands{Env: env}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	return c.exit(root.ExecuteContext(ctx))
}

func (c *commands) exit(err error) int {
	if err == nil {
		return exitDone
	}
	var usage usageError
	var command *service.Error
	var reported errReported
	kind := service.Failed
	switch {
	case errors.As(err, &reported):
		kind = reported.kind
	case errors.As(err, &usage):
		fmt.Fprintf(c.Stderr, "switchyard: %v; switchyard --help shows the commands\n", err)
		return exitUsage
	case errors.As(err, &command):
		kind = command.Kind
		fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
	default:
		fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
	}
	switch kind {
	case service.Refused:
		return exitRefused
	case service.Unreachable:
		return exitUnreachable
	}
	return exitFailed
}

type commands struct {
	Env
	json bool
}

func (c *commands) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "switchyard",
		Short: "Move Claude Code between the cloud and a model on this machine",
		Long: `Switchyard moves Claude Code, running sessions included, between Anthropic's
cloud and a model on this machine served by Docker Model Runner, by editing
Claude Code's settings, and puts them back byte for byte.

Without a command it starts the tray.`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			return c.Tray(cmd.Context(), yard)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
	root.AddCommand(c.status(), c.local(), c.cloud(), c.offline(), c.explain(), c.check(), c.version())
	root.InitDefaultCompletionCmd()
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("there is no command or argument %q", args[0])}
	}
	return nil
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("one model at most, not %q", args)}
	}
	return nil
}

// open reads the configuration and says what is odd about it.
func (c *commands) open() (*service.Yard, error) {
	return service.Open(c.Paths, c.Home, c.Environ)
}

func (c *commands) print(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (c *commands) status() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show where Claude Code's requests go, the runner and its models", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			yard, err := c.open()
			if err != nil {
				return err
			}
			if watch {
				return c.watch(cmd.Context(), yard)
			}
			return c.show(yard.Look(cmd.Context()))
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on and print every change")
	return cmd
}

func (c *commands) show(s service.State) error {
	if c.json {
		return c.print(s)
	}
	_, err := io.WriteString(c.Stdout, statusText(s, c.Home))
	return err
}

func (c *commands) watch(ctx context.Context, yard *service.Yard) error {
	s := service.NewSupervisor(yard, discard())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for states := s.Subscribe(); ; {
		select {
		case err := <-ended:
			return err
		case state := <-states:
			if state.Runner.State == "" || len(state.Targets) == 0 {
				continue // not looked yet
			}
			if err := c.show(state); err != nil {
				return err
			}
			if !c.json {
				fmt.Fprintln(c.Stdout)
			}
		}
	}
}

// switchFlags are what local, cloud and offline have in common.
type switchFlags struct {
	projects, targets []string
	context           string
	force             bool
}

func (f *switchFlags) add(cmd *cobra.Command, toLocal bool) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.projects, "project", nil, "only this project's folder, by its settings.local.json (may be repeated)")
	flags.StringArrayVar(&f.targets, "target", nil, "only this Claude Code configuration folder (may be repeated)")
	if toLocal {
		flags.StringVar(&f.context, "context", "", "context in tokens that Claude Code is told, such as 64K (default: the model's)")
		flags.BoolVar(&f.force, "force", false, "switch without proving that it will work")
	}
}

func (f *switchFlags) request(y *service.Yard, route claude.Route, folder string, args []string) (service.Request, error) {
	r := service.Request{Route: route, Folder: folder, Force: f.force}
	for _, dir := range f.projects {
		r.Targets = append(r.Targets, y.Project(dir))
	}
	for _, dir := range f.targets {
		r.Targets = append(r.Targets, y.Folder(dir))
	}
	if len(args) > 0 {
		r.Model = args[0]
	}
	var err error
	r.Context, err = parseTokens(f.context)
	return r, err
}

func (c *commands) local() *cobra.Command {
	return c.toLocal(claude.Local, "local [MODEL]", "Point Claude Code to a model on this machine")
}

func (c *commands) offline() *cobra.Command {
	return c.toLocal(claude.Offline, "offline [MODEL]", "As local, and keep Claude Code itself from contacting anybody")
}

func (c *commands) toLocal(route claude.Route, use, short string) *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Args: atMostOne, ValidArgsFunction: c.completeModel,
		RunE: func(cmd *cobra.Command, args []string) error { return c.move(cmd.Context(), &f, route, args) },
	}
	f.add(cmd, true)
	return cmd
}

func (c *commands) cloud() *cobra.Command {
	var f switchFlags
	cmd := &cobra.Command{
		Use: "cloud", Short: "Put Claude Code's settings back as they were", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.move(cmd.Context(), &f, claude.Cloud, nil) },
	}
	f.add(cmd, false)
	return cmd
}

// move is a switch as the command line does it: progress, the result, and the wait until it holds.
func (c *commands) move(ctx context.Context, f *switchFlags, route claude.Route, args []string) error {
	yard, err := c.open()
	if err != nil {
		return err
	}
	request, err := f.request(yard, route, c.Folder, args)
	if err != nil {
		return err
	}
	for _, w := range yard.Warnings {
		fmt.Fprintf(c.Stderr, "switchyard: %s; %s\n", w.Text, w.Remedy)
	}
	progress, clear := c.progress()
	result, err := yard.Switch(ctx, request, progress)
	clear()
	if err != nil {
		for _, t := range result.Targets {
			fmt.Fprintf(c.Stderr, "switchyard: %s was switched; only the rest was not\n", t.File)
		}
		return err
	}
	state := yard.Look(ctx)
	if c.json {
		err = c.print(struct {
			service.Result
			Warnings []service.Warning `json:"warnings"`
		}{result, state.Warnings})
	} else {
		_, err = io.WriteString(c.Stdout, switchText(result, state, c.Home))
	}
	if err != nil {
		return err
	}
	repaired, err := yard.Settle(ctx, result.Targets)
	if ctx.Err() != nil {
		return nil // the switch is done; only the watching was cut short
	}
	for _, file := range repaired {
		fmt.Fprintf(c.Stderr, "switchyard: a running Claude Code wrote its old copy over %s; the switch was applied again, its change was kept\n", file)
	}
	return err
}

// progress draws what is being proven, on a terminal only.
func (c *commands) progress() (p service.Progress, clear func()) {
	if !c.Terminal || c.json {
		return service.Progress{}, func() {}
	}
	const wipe = "\r\x1b[K"
	begin := func(name string) { fmt.Fprintf(c.Stderr, "%s%s …", wipe, doing[name]) }
	return service.Progress{Begin: begin}, func() { fmt.Fprint(c.Stderr, wipe) }
}

var doing = map[string]string{
	"runner":         "asking Model Runner",
	"model":          "looking for the model",
	"context":        "looking at the context",
	"message":        "waiting for a first answer (loading the model may take a minute)",
	"system_message": "sending a system message in mid-conversation",
	"tool_call":      "asking for a tool call",
}

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
			settings, skipped := yard.Scope(project).Explain()
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
			err = yard.Check(cmd.Context(), model, tokens, progress)
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

func (c *commands) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.print(map[string]string{"version": c.number()})
			}
			_, err := fmt.Fprintln(c.Stdout, "switchyard", c.number())
			return err
		},
	}
}

func (c *commands) number() string {
	if c.Version != "" {
		return c.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// completeModel offers the models of a runner that answers at once.
func (c *commands) completeModel(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	yard, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 500*time.Millisecond)
	defer cancel()
	_, models := yard.LookAtRunner(ctx)
	var names []cobra.Completion
	for _, m := range models {
		names = append(names, runner.Short(m.Tag))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
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

// tilde writes a path under the home folder short.
func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~" + string(os.PathSeparator) + rest
	}
	return path
}
