// Package launch starts one session of Claude Code that goes its own way, whatever the settings say.
package launch

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/lean"
	"github.com/switchyard-app/switchyard/service/localclaude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
)

const whatRun = "starting a session"

// runVariable counts how many sessions were started within each other.
const (
	runVariable = "SWITCHYARD_RUN"
	deepest     = 5
)

// Request asks for one session of Claude Code that goes its own way, whatever
// the settings say.
type Request struct {
	Model  string // empty: the chosen one
	Cloud  bool   // to the cloud instead
	Lean   bool   // with the lean profile, also where new local sessions have it not
	Queue  Queue
	Folder string
	Args   []string // Claude Code's
}

// Session is a session that is ready to be started.
type Session struct {
	Program string
	Args    []string // with the program's name
	Environ []string
	Leave   func() // when it was not started after all
}

// Prepare finds everything a session needs, and takes its place. The error is an *Error.
func Prepare(ctx context.Context, m *machine.Machine, r Request, progress localrunner.Progress) (Session, error) {
	run := Session{Leave: func() {}}
	var err error
	if run.Program, err = program(m); err != nil {
		return run, err
	}
	if lock, locked := m.Locked(r.Folder); locked && r.Cloud {
		return run, fault.Wrap(whatRun, lock.Refusal())
	}
	if status, err := m.Ledger.Inspect(claude.UserTarget(m.ConfigDir())); r.Cloud && err == nil && status.Route == claude.Offline {
		return run, &fault.Error{Kind: fault.Refused, What: whatRun, Why: "the route is offline", Remedy: "end that first: switchyard cloud --yes"}
	}
	base, args, err := ownSettings(m, r)
	if err != nil {
		return run, err
	}
	var values map[string]string
	if r.Cloud {
		values, err = cloudValues(m, r.Folder)
	} else {
		values, run.Leave, err = localValues(ctx, m, r, progress)
	}
	if err != nil {
		return run, fault.Wrap(whatRun, err)
	}
	front := []string{"claude"}
	if len(values) > 0 || base != nil {
		overlay, err := writeOverlay(m, base, values)
		if err != nil {
			run.Leave()
			return run, fault.Wrap(whatRun, err)
		}
		front = append(front, "--settings", overlay)
	}
	if short := r.Lean || !r.Cloud && m.Lean(); short && claude.ParseLaunch(args).Agent == "" {
		agent, err := lean.Agent(m)
		if err != nil {
			run.Leave()
			return run, fault.Wrap(whatRun, err)
		}
		definition, err := json.Marshal(lean.Inline(agent))
		if err != nil {
			run.Leave()
			return run, fault.Wrap(whatRun, err)
		}
		front = append(front, "--agents", string(definition), "--agent", agent.Name)
	}
	run.Args = append(front, args...)
	run.Environ = append(slices.DeleteFunc(slices.Clone(m.Environ), func(pair string) bool { return strings.HasPrefix(pair, runVariable+"=") }),
		runVariable+"="+strconv.Itoa(m.EnvNumber(runVariable)+1))
	return run, nil
}

// Start turns this process into the session, or waits for it where that cannot be;
// then the exit code is its own.
func (r Session) Start() (code int, err error) {
	code, err = become(r)
	if err == nil {
		return code, nil
	}
	r.Leave()
	failed := &fault.Error{Kind: fault.Failed, What: whatRun, Why: r.Program + ": " + err.Error(), Remedy: "try it on its own: " + r.Program + " --version", Err: err}
	if errors.Is(err, os.ErrPermission) {
		failed.Remedy = "make it executable"
	}
	return 1, failed
}

// program is Claude Code's program, for a session.
func program(m *machine.Machine) (string, error) {
	program := localclaude.Program(m)
	switch {
	case program == "":
		return "", &fault.Error{Kind: fault.Refused, What: whatRun, Why: "Claude Code (claude) was not found", Remedy: "install Claude Code: npm install -g @anthropic-ai/claude-code"}
	case m.EnvNumber(runVariable) >= deepest:
		return "", &fault.Error{Kind: fault.Refused, What: whatRun, Why: program + " keeps starting switchyard run", Remedy: "give the script another name, or put Claude Code's own program before it on the PATH"}
	}
	return program, nil
}

// ownSettings takes --settings out of Claude Code's arguments: there can be one only.
func ownSettings(m *machine.Machine, r Request) (settings []byte, args []string, err error) {
	given := claude.ParseLaunch(r.Args).Settings
	if len(given) == 0 {
		return nil, r.Args, nil
	}
	value := given[len(given)-1]
	settings = []byte(value)
	if !strings.HasPrefix(strings.TrimSpace(value), "{") {
		if !filepath.IsAbs(value) {
			value = filepath.Join(r.Folder, value)
		}
		if settings, err = os.ReadFile(value); err != nil {
			return nil, nil, &fault.Error{Kind: fault.Refused, What: whatRun, Why: "its --settings cannot be read: " + err.Error(), Remedy: "check the name", Err: err}
		}
	}
	for i := 0; i < len(r.Args); i++ {
		switch arg := r.Args[i]; {
		case arg == "--":
			return settings, append(args, r.Args[i:]...), nil
		case arg == "--settings":
			i++
		case strings.HasPrefix(arg, "--settings="):
		default:
			args = append(args, arg)
		}
	}
	return settings, args, nil
}

// writeOverlay writes the settings that only this session reads. They hold the
// gateway's token: a command line would show it to everybody.
func writeOverlay(m *machine.Machine, base []byte, values map[string]string) (file string, err error) {
	data, err := claude.Overlay(base, values)
	if err != nil {
		return "", err
	}
	dir, err := m.Paths.Runs()
	if err != nil {
		return "", err
	}
	file = overlayFile(dir, os.Getpid())
	return file, config.WriteAtomic(file, data)
}
