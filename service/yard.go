package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Yard is one user's machine: what the command line and the tray both work on.
type Yard struct {
	Config   Config
	Warnings []Warning // about the configuration
	Paths    Paths
	Home     string
	Environ  []string // NAME=value, as the shell gave it

	Version string // of this program
	Program string // this program, for what is done in a process of its own; empty: it is left undone

	ledger *claude.Ledger

	Here Host // this process, where it serves the gateway itself; nil in a command
}

// Host is the Switchyard that runs in this very process.
type Host interface {
	// Address is where its gateway listens and what that asks for, once a guard is
	// there; ok is false while there is no gateway.
	Address(ctx context.Context) (url, token string, ok bool)
	// BringUp returns when the runner answers that a person's switch needs.
	BringUp(ctx context.Context) error
}

// Open reads the configuration. It opens nothing else.
func Open(paths Paths, home string, environ []string) (*Yard, error) {
	y := &Yard{Paths: paths, Home: home, Environ: environ, ledger: claude.OpenLedger(paths.Ledger())}
	var err error
	y.Config, y.Warnings, err = LoadConfig(paths.Config, y.getenv)
	return y, err
}

func (y *Yard) getenv(name string) string {
	for _, pair := range slices.Backward(y.Environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// configDir is the folder that a Claude Code started in this environment uses.
func (y *Yard) configDir() string {
	if dir := y.getenv("CLAUDE_CONFIG_DIR"); dir != "" {
		return expand(dir, y.Home)
	}
	return filepath.Join(y.Home, ".claude")
}

// Targets are the folders that a plain switch moves: the one that Claude Code
// uses here and the configured ones.
func (y *Yard) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(y.configDir())}
	for _, dir := range y.Config.Targets {
		targets = append(targets, claude.UserTarget(expand(dir, y.Home)))
	}
	return unique(targets)
}

// Project is the target of one project's folder.
func (y *Yard) Project(dir string) claude.Target {
	return claude.ProjectTarget(expand(dir, y.Home), y.configDir())
}

// Folder is the target of another configuration folder.
func (y *Yard) Folder(dir string) claude.Target { return claude.UserTarget(expand(dir, y.Home)) }

// Scope says which layers decide for a Claude Code started in a folder; empty for none in particular.
func (y *Yard) Scope(project string) claude.Scope {
	managed := claude.ManagedDir()
	if y.Config.ManagedSettings != "" {
		managed = expand(y.Config.ManagedSettings, y.Home)
	}
	if project != "" {
		project = expand(project, y.Home)
	}
	return claude.Scope{ManagedDir: managed, ConfigDir: y.configDir(), Project: project, Environ: y.Environ}
}

// gateway is where the gateway of the running Switchyard is; none when there is no such.
func (y *Yard) gateway(ctx context.Context) (address, bool) {
	if y.Here != nil {
		if url, token, ok := y.Here.Address(ctx); ok {
			return address{url, token}, true
		}
	}
	running, err := y.Supervised(ctx)
	if err != nil {
		return address{}, false
	}
	at, err := running.address(ctx)
	return at, err == nil
}

// files is what the settings files and the ledger say.
type files struct {
	targets  []Target
	status   []targetStatus
	lean     bool
	quiet    bool // no notifications
	warnings []Warning
	baseURL  string
	context  int
	chosen   string
	waiting  []claude.Session
}

// targetStatus is a target and what its files say.
type targetStatus struct {
	claude.Target
	claude.Status
}

// lookAtFiles reads every target, and first ends what was left open. Its sessions
// are looked at apart.
func (y *Yard) lookAtFiles(ctx context.Context) files {
	f := files{chosen: y.chosen(), lean: y.Lean(), quiet: y.Quiet()}
	warn := func(code, text, remedy string) { f.warnings = append(f.warnings, Warning{code, text, remedy}) }
	var err error
	if f.waiting, err = y.ledger.Tidy(ctx); err != nil {
		what, remedy := why(err)
		warn("ledger", words.T("an earlier switch could not be completed: %s", what), remedy)
	}
	main := y.Targets()
	switched, err := y.ledger.Switched()
	if err != nil {
		warn("ledger", words.T("the ledger cannot be read: %v", err), words.T("your original settings are the before-… files in %s", y.Paths.Ledger()))
	}
	for i, t := range unique(append(main, switched...)) {
		status, err := y.ledger.Inspect(t)
		if err != nil {
			continue // named above
		}
		if i == 0 {
			f.baseURL, f.context = status.BaseURL, status.Context
		}
		f.status = append(f.status, targetStatus{Target: t, Status: status})
		f.targets = append(f.targets, Target{Dir: t.Dir, File: t.File, Route: status.Route, Model: status.Model, Way: status.Way, Direct: status.Direct,
			Drift: list(status.Drift), Waiting: len(status.Waiting)})
		for _, w := range warnings(t, status) {
			w.Text = y.tilde(w.Text)
			f.warnings = append(f.warnings, w)
		}
		if i >= len(main) && status.Route != claude.Cloud {
			warn("other_target", words.T("%s is %s too", t.File, status.Route), "switchyard cloud "+flagFor(t))
		}
	}
	if stronger := y.Scope("").Stronger(main[0]); stronger != nil {
		warn("stronger_layer", stronger.Where()+": "+stronger.Why, stronger.Remedy)
	}
	if f.baseURL == "" {
		f.baseURL = y.getenv("ANTHROPIC_BASE_URL")
	}
	return f
}

func flagFor(t claude.Target) string {
	if t.Project != "" {
		return "--project " + t.Project
	}
	return "--target " + t.Dir
}

// warnings puts what is odd about one target into words.
func warnings(t claude.Target, s claude.Status) []Warning {
	var out []Warning
	if s.Broken != nil {
		out = append(out, Warning{"settings_broken", words.T("%s: %s, so Claude Code ignores the file", s.Broken.Where(), s.Broken.Why), s.Broken.Remedy})
	}
	if len(s.Drift) > 0 {
		out = append(out, Warning{"drift", words.T("%s: somebody changed %s after the switch", t.File, words.Some(s.Drift)),
			words.T("switch again to set it, or leave it: going back to cloud keeps the change")})
	}
	if s.Pinned != nil {
		where := fmt.Sprintf("%s:%d", s.Pinned.File, s.Pinned.Line)
		cloudName := strings.HasPrefix(s.Pinned.Value, "claude-")
		switch {
		case s.Route != claude.Cloud && s.Pinned.Value != s.Model:
			out = append(out, Warning{"model_pinned", words.T("%s: \"model\" names %s, which new sessions will ask the local runner for", where, s.Pinned.Value),
				words.T("remove the line, or start claude with --model opus, which means the local model")})
		case s.Route == claude.Cloud && !cloudName && strings.Contains(s.Pinned.Value, "/"):
			out = append(out, Warning{"model_local", words.T("%s: \"model\" names %s, which the cloud does not have", where, s.Pinned.Value),
				words.T("choose another one with /model in claude, or remove the line")})
		}
	}
	return out
}

// chosen is the model that a switch takes when none is named.
func (y *Yard) chosen() string {
	if y.Config.Model != "" {
		return y.Config.Model
	}
	data, err := os.ReadFile(y.Paths.lastModel())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Choose remembers the model for the next switch to local.
func (y *Yard) Choose(tag string) error {
	if err := os.MkdirAll(y.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(y.Paths.lastModel(), []byte(tag+"\n"), 0o600)
}

// Look reads everything once.
func (y *Yard) Look(ctx context.Context) State {
	var s State
	var both sync.WaitGroup
	var shapes []runner.Model
	both.Go(func() { s.Runner, s.Models, shapes = y.lookAtRunner(ctx) })
	both.Go(func() { s.VRAM = y.ReadVRAM(ctx) })
	var told Runner
	if running, err := y.Supervised(ctx); err == nil {
		s.Gateway, _ = running.Gateway(ctx)
		told, _ = running.Runner(ctx)
		s.Pulls, _ = running.Pulls(ctx)
	}
	f := y.lookAtFiles(ctx)
	facts := y.lookAtSessions(f.status, &claude.Roster{}, &claude.Files{})
	both.Wait()
	s.Models = y.fits(s.Models, shapes, s.VRAM)
	// What is being done with it, and why it was given up, only the supervisor knows;
	// when it agrees, it knows more.
	if told.State == Starting || told.State == Broken || told.State == s.Runner.State && told.Engine == s.Runner.Engine {
		told.exposed, told.openOrigins = s.Runner.exposed, s.Runner.openOrigins
		s.Runner = told
	}
	s, _ = y.merge(s, f, facts, episodes{}, time.Now())
	return s
}

// lookAtGateway asks the Switchyard that runs, if one does, what its gateway does.
func (y *Yard) lookAtGateway(ctx context.Context) Gateway {
	running, err := y.Supervised(ctx)
	if err != nil {
		return Gateway{}
	}
	g, err := running.Gateway(ctx)
	if err != nil {
		return Gateway{}
	}
	return g
}

// merge puts what the files say into a State that knows the runner. again, when
// not zero, is when time alone may change it.
func (y *Yard) merge(s State, f files, facts sessionsFacts, begun episodes, now time.Time) (_ State, again time.Time) {
	s.Targets, s.Chosen, s.Lean, s.runs, s.Locked = list(f.targets), f.chosen, f.lean, facts.runs(), y.Config.Cloud == never
	s.Version, s.Quiet = y.Version, f.quiet
	s.Sessions, _, again = world{f.status, s.Gateway, s.Runner.URL, now}.sessionsOf(facts.sessions)
	s.Models, s.Pulls = list(s.Models), list(s.Pulls)
	s.BaseURL, s.Context = plainURL(f.baseURL), f.context
	if len(f.status) > 0 {
		s.Since = f.status[0].Since
	}
	s = s.derive(append(append(list(y.Warnings), f.warnings...), s.Warnings...))
	warnings, due := begun.see(conditions(s, now))
	s.Warnings = append(s.Warnings, warnings...)
	if !due.IsZero() && (again.IsZero() || due.Before(again)) {
		again = due
	}
	// Somebody pointed Claude Code to the runner without Switchyard.
	if s.Route == claude.Cloud && s.Runner.URL != "" && strings.TrimSuffix(s.BaseURL, "/anthropic") == s.Runner.URL {
		s.Route = claude.Local
		if len(s.Targets) > 0 {
			s.Targets = slices.Clone(s.Targets)
			s.Targets[0].Route = claude.Local
		}
		s.Warnings = append(s.Warnings, Warning{"set_by_hand", words.T("ANTHROPIC_BASE_URL points to Model Runner, but Switchyard did not set it"),
			words.T("switchyard explain shows where it is set; switchyard local sets all that Claude Code needs there")})
	}
	return s, again
}

// tilde writes paths under the home folder short.
func (y *Yard) tilde(text string) string {
	const slash = string(filepath.Separator)
	return strings.ReplaceAll(text, y.Home+slash, "~"+slash)
}

// plainURL is a base URL without a password in it.
func plainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// why takes an error apart into reason and remedy, for warnings.
func why(err error) (reason, remedy string) {
	var refusal *claude.Refusal
	var ours *Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Where() + ": " + refusal.Why, refusal.Remedy
	case errors.As(err, &ours):
		return ours.Why, ours.Remedy
	}
	return err.Error(), "try again"
}

// missing tells whether a folder that a person named is not there.
func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}
