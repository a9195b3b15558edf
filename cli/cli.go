// Package cli is Switchyard's command line: arguments in, text or JSON out.
package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
)

// Env is what the command line needs from outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool // Stderr is a terminal: progress may be drawn
	Interactive    bool // Stdin is one too: a person can be asked
	Folder         string
	Home           string
	Environ        []string
	Paths          config.Paths
	Program        string // this program; empty: nothing is done in processes of its own
	Version        string
	// Tray runs the desktop face until the context ends.
	Tray func(context.Context, *machine.Machine) error
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
type errReported struct{ kind fault.Kind }

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

// Root is the tree of all commands, for manuals and completions.
func Root(env Env) *cobra.Command { return (&commands{Env: env}).root() }

func (c *commands) exit(err error) int {
	if err == nil {
		return exitDone
	}
	var usage usageError
	var failed *fault.Error
	var reported errReported
	var session exitCode
	kind := fault.Failed
	switch {
	case errors.As(err, &session):
		return int(session)
	case errors.As(err, &reported):
		kind = reported.kind
	case errors.As(err, &usage):
		fmt.Fprintf(c.Stderr, "switchyard: %v; see switchyard --help\n", err)
		return exitUsage
	case errors.As(err, &failed):
		kind = failed.Kind
		fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
	default:
		fmt.Fprintf(c.Stderr, "switchyard: %v\n", err)
	}
	switch kind {
	case fault.Refused:
		return exitRefused
	case fault.Unreachable:
		return exitUnreachable
	}
	return exitFailed
}

// commands makes the command line. Each command is a method that returns it, one file
// for a theme: there are as many methods as commands and what they share.
type commands struct {
	Env
	json    bool
	answers *bufio.Reader // to questions
	pending chan string   // the answer to one that was cut short
}

func (c *commands) root() *cobra.Command {
	cobra.MousetrapHelpText = "" // on Windows it is started by a double click, too
	root := &cobra.Command{
		Use:   "switchyard",
		Short: "Move Claude Code between the cloud and a model on this machine",
		Long: `Switchyard moves Claude Code, running sessions included, between Anthropic's
cloud and a model on this machine served by Docker Model Runner, by editing
Claude Code's settings, and restores them byte for byte.

Without a command it starts the tray.`,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			return c.Tray(ctx, m)
		}),
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
	root.AddCommand(c.status(), c.local(), c.cloud(), c.offline(), c.explain(), c.check(), c.models(), c.pull(), c.load(), c.unload(), c.rm(), c.context(), c.fit(), c.gpu(), c.runner(), c.doctor(), c.sessions(), c.run(), c.requests(), c.gateway(), c.autostart(), c.quit(), c.uninstall(), c.guard(), c.fenced(), c.version())
	root.InitDefaultCompletionCmd()
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q", args[0])}
	}
	return nil
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("name at most one model, not %q", args)}
	}
	return nil
}

// open reads the configuration and says what is odd about it.
func (c *commands) open() (*machine.Machine, error) {
	m, err := machine.Open(c.Paths, c.Home, c.Environ)
	if m != nil {
		m.Program, m.Version = c.Program, c.number()
	}
	return m, err
}

// with is a command that works on this machine.
func (c *commands) with(do func(ctx context.Context, m *machine.Machine, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		m, err := c.open()
		if err != nil {
			return err
		}
		return do(cmd.Context(), m, args)
	}
}

// result prints what a command found: the value as JSON, or else the text.
func (c *commands) result(v any, text string) error {
	if c.json {
		return c.print(v)
	}
	_, err := io.WriteString(c.Stdout, text)
	return err
}

func (c *commands) print(v any) error {
	enc := json.NewEncoder(c.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printLine prints a value as JSON on one line.
func (c *commands) printLine(r gateway.Record) error { return json.NewEncoder(c.Stdout).Encode(r) }

func (c *commands) status() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show where Claude Code's requests go, Model Runner and its models", Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			if watch {
				return c.watch(ctx, m)
			}
			return c.show(status.Look(ctx, m))
		}),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep running and print every change")
	return cmd
}

func (c *commands) show(s state.State) error {
	return c.result(s, statusText(s, c.Home, time.Now()))
}

func (c *commands) watch(ctx context.Context, m *machine.Machine) error {
	s := service.NewSupervisor(m, discard())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for states := s.Subscribe(); ; {
		select {
		case err := <-ended:
			return err
		case current := <-states:
			if current.Runner.State == "" || len(current.Targets) == 0 {
				continue // not looked yet
			}
			if err := c.show(current); err != nil {
				return err
			}
			if !c.json {
				fmt.Fprintln(c.Stdout)
			}
		}
	}
}

func (c *commands) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return c.result(map[string]string{"version": c.number()}, "switchyard "+c.number()+"\n")
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
	m, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 500*time.Millisecond)
	defer cancel()
	_, list := models.LookAtRunner(ctx, m)
	var names []cobra.Completion
	for _, model := range list {
		names = append(names, runner.Short(model.Tag))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// tilde writes a path under the home folder short.
func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~" + string(os.PathSeparator) + rest
	}
	return path
}
