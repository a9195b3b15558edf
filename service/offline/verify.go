package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/fence"
	"github.com/switchyard-app/switchyard/service/localclaude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	whatVerify   = "verifying"
	verifyPrompt = "Answer with one word: ready"
)

// VerifyRequest says which program to watch.
type VerifyRequest struct {
	Folder         string
	Command        []string // empty: claude -p with a short prompt
	Terminal       bool     // the command has the terminal: Ctrl-C is left to it
	Stdin          io.Reader
	Stdout, Stderr io.Writer // of Command; not used if that is empty
}

// Verification is what a program and its children tried to reach.
type Verification struct {
	Program     string          `json:"program"`
	Route       claude.Route    `json:"route"`
	MS          int64           `json:"ms"`
	ExitCode    int             `json:"exit_code"`
	Lookups     int             `json:"lookups"`     // of host names
	Connections int             `json:"connections"` // to other machines
	Attempts    []fence.Attempt `json:"attempts"`
	Local       []LocalUse      `json:"local"`
	Sessions    []AuditLine     `json:"sessions"`       // of Claude Code, among the watched processes
	Past        string          `json:"past,omitempty"` // what takes Claude Code past its settings, which then prove nothing
	Said        string          `json:"-"`              // the output of the default command, if it failed
}

// LocalUse is an address on this machine that the program connected to.
type LocalUse struct {
	fence.Local
	Who string `json:"who,omitempty"` // what listens there; empty: unknown
}

// Verify runs a command that can reach only this machine, and reports what else it tried. A
// command that fails is not an error; see ExitCode. The error is a *fault.Error.
func Verify(ctx context.Context, m *machine.Machine, r VerifyRequest) (Verification, error) {
	v := Verification{Route: claude.Cloud}
	if err := fence.Available(); err != nil {
		return v, &fault.Error{Kind: fault.Refused, What: whatVerify, Why: err.Error(),
			Remedy: "use the system's own tools to watch it; the offline route itself works the same here", Err: err}
	}
	status, err := m.Ledger.Inspect(m.Targets()[0])
	if err != nil {
		return v, fault.Wrap(whatVerify, err)
	}
	v.Route = status.Route
	var said strings.Builder
	if len(r.Command) == 0 {
		if r.Command, err = ownCommand(m, v.Route); err != nil {
			return v, err
		}
		r.Stdin, r.Stdout, r.Stderr = nil, &said, &said
	}
	program := r.Command[0]
	if !strings.ContainsRune(program, filepath.Separator) {
		program = engine.LookPath(program, m.Getenv("PATH"))
	}
	if program == "" {
		return v, &fault.Error{Kind: fault.Refused, What: whatVerify, Why: "there is no " + r.Command[0] + " on the PATH", Remedy: "check the name"}
	}
	v.Program = filepath.Base(program)
	if v.Route != claude.Cloud {
		v.Past = goesPast(m, r)
	}
	seen := &watchedSessions{machine: m, ctx: context.WithoutCancel(ctx), ids: map[string]bool{}}
	if at, served := control.GatewayAddress(ctx, m); served {
		seen.gateway = strings.TrimPrefix(at.URL, "http://")
	}
	running := ctx
	if r.Terminal {
		running = context.WithoutCancel(ctx)
	}
	cmd := fencedCommand(running, m, r, program)
	begun := time.Now()
	report, err := fence.Run(running, cmd, seen.onConnection)
	v.MS = time.Since(begun).Milliseconds()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && ctx.Err() == nil {
		return v, &fault.Error{Kind: fault.Failed, What: whatVerify, Why: strings.TrimSpace("the command could not be watched: " + err.Error() + " " + said.String()), Remedy: "try the command alone", Err: err}
	}
	v.ExitCode = cmd.ProcessState.ExitCode()
	if v.ExitCode != 0 {
		v.Said = strings.TrimSpace(said.String())
	}
	v.Attempts, v.Local = report.Attempts, uses(seen.ctx, m, report.Local, seen.gateway)
	v.count()
	v.Sessions = auditWatched(m, seen, v.Lookups+v.Connections, time.Now())
	if v.Route == claude.Offline {
		if err := AppendAudit(m.Paths, v.Sessions); err != nil {
			return v, &fault.Error{Kind: fault.Failed, What: "writing " + m.Paths.Audit(), Why: err.Error(), Remedy: "make it writable", Err: err}
		}
	}
	return v, nil
}

// ownCommand is what Verify runs when no command is named: Claude Code with one short prompt.
func ownCommand(m *machine.Machine, route claude.Route) ([]string, error) {
	if route != claude.Offline {
		return nil, &fault.Error{Kind: fault.Refused, What: whatVerify, Why: "the route is " + string(route) + ", where Claude Code may use the network", Remedy: "switch first: switchyard offline; or name a command: switchyard offline --verify -- claude"}
	}
	program := localclaude.Program(m)
	if program == "" {
		return nil, &fault.Error{Kind: fault.Refused, What: whatVerify, Why: "Claude Code (claude) was not found", Remedy: "install Claude Code: npm install -g @anthropic-ai/claude-code"}
	}
	return []string{program, "-p", verifyPrompt}, nil
}

// goesPast names what takes Claude Code, if the program is or starts it, past its settings:
// where its requests then go, as over a socket to another program, is not watched.
func goesPast(m *machine.Machine, r VerifyRequest) string {
	scope := m.Scope(r.Folder)
	launch := claude.ParseLaunch(r.Command[1:])
	scope.Launch = &launch
	if name := scope.Past(); name != "" {
		return name
	}
	effective := scope.Effective()
	if effective.Provider == "" && effective.Place.Layer != claude.CommandLine {
		return effective.Ignores
	}
	return effective.Provider
}

// fencedCommand runs a program through Fenced.
func fencedCommand(ctx context.Context, m *machine.Machine, r VerifyRequest, program string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, machine.Executable(), append([]string{"fenced", "--", program}, r.Command[1:]...)...)
	cmd.Args[0] = "switchyard"
	cmd.Env, cmd.Dir = m.Environ, r.Folder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r.Stdin, r.Stdout, r.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// count adds up the attempts.
func (v *Verification) count() {
	for _, a := range v.Attempts {
		if a.Kind == fence.Lookup {
			v.Lookups += a.Times
		} else {
			v.Connections += a.Times
		}
	}
}

// Fenced becomes a program that can reach this machine only. It returns only when
// that fails; Verify starts it so.
func Fenced(args, environ []string) error {
	err := fence.Become(args[0], args, environ)
	return &fault.Error{Kind: fault.Failed, What: "starting " + filepath.Base(args[0]), Why: err.Error(), Remedy: "try it alone", Err: err}
}

// watchedSessions are the sessions of Claude Code among the watched processes.
type watchedSessions struct {
	machine *machine.Machine
	ctx     context.Context // of the command that is watched
	gateway string

	mu  sync.Mutex
	ids map[string]bool
}

// onConnection finds the session of a process that connects to the gateway, and tells the
// running Switchyard that its audit line is written here.
func (w *watchedSessions) onConnection(pid int, address string) {
	if address != w.gateway {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range w.machine.ConfigDirs() {
		s, err := claude.SessionOf(dir, pid)
		if err != nil || s.SessionID == "" || w.ids[s.SessionID] {
			continue
		}
		w.ids[s.SessionID] = true
		_ = control.Connect(w.machine).Watched(w.ctx, s.SessionID) // or it would write a line too
	}
}

// auditWatched are the audit lines of the watched sessions.
func auditWatched(m *machine.Machine, w *watchedSessions, attempts int, now time.Time) []AuditLine {
	lines := []AuditLine{}
	if len(w.ids) == 0 {
		return lines
	}
	ctx, cancel := context.WithTimeout(w.ctx, localrunner.Quick)
	defer cancel()
	state := state.State{Gateway: control.GatewayState(ctx, m)}
	if f, err := localrunner.Find(ctx, m); err == nil {
		state.Models = localrunner.Tagged(f.Ask(ctx, "?").Models)
	}
	for id := range w.ids {
		line := AuditLine{Time: now.UTC().Truncate(time.Second), Session: id, Attempts: &attempts}
		for _, g := range state.Gateway.Sessions {
			if g.ID == id {
				line.Model, line.Digest, line.Requests, line.InputTokens, line.OutputTokens = g.Model, state.Digest(g.Model), g.Requests, g.InputTokens, g.OutputTokens
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// uses finds out what listens at the addresses that a program connected to.
func uses(ctx context.Context, m *machine.Machine, local []fence.Local, gateway string) []LocalUse {
	uses := []LocalUse{}
	for _, l := range local {
		use := LocalUse{Local: l}
		if l.Address == gateway {
			use.Who = "Switchyard's gateway"
		} else if port := engine.PortOf("http://" + l.Address); port > 0 {
			use.Who = localrunner.PortHolder(ctx, m, port)
		}
		uses = append(uses, use)
	}
	return uses
}

// Text is the verification in words, as "switchyard offline --verify" prints it.
func (v Verification) Text() string {
	var b strings.Builder
	for _, a := range v.Attempts {
		fmt.Fprintf(&b, "✗ %s\n", a)
	}
	fmt.Fprintf(&b, "%s, %s, in the %s route: %s, %s.\n", v.Program, (time.Duration(v.MS) * time.Millisecond).Round(100*time.Millisecond), v.Route,
		words.Count(v.Lookups, "name looked up", "names looked up"), words.Count(v.Connections, "connection to another machine tried", "connections to other machines tried"))
	for _, l := range v.Local {
		who := ""
		if l.Who != "" {
			who = " (" + l.Who + ")"
		}
		fmt.Fprintf(&b, "  on this machine: %s%s, %d×\n", l.Address, who, l.Times)
	}
	if v.Past != "" {
		fmt.Fprintf(&b, "✗ %s makes Claude Code bypass its settings: this proves nothing about its requests. Start it without that.\n", v.Past)
	}
	switch {
	case len(v.Attempts) > 0:
		b.WriteString("All of it was refused: nothing got out.\n")
	case v.ExitCode != 0:
		fmt.Fprintf(&b, "Nothing tried to get out, but %s itself exited with code %d.\n", v.Program, v.ExitCode)
	}
	if v.Said != "" {
		fmt.Fprintf(&b, "It said: %s\n", firstLine(v.Said))
	}
	for _, s := range v.Sessions {
		fmt.Fprintf(&b, "Session %s: %s, non-loopback attempts: %d\n", s.Session, words.Count(s.Requests, "request", "requests"), *s.Attempts)
	}
	return b.String()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
