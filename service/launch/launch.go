// Package launch is switchyard run: it starts one session of Claude Code on a route of its
// own, whatever the settings say.
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

// runVariable counts how many runs are nested; more than deepest means that claude is a script
// that calls switchyard run.
const (
	runVariable = "SWITCHYARD_RUN"
	deepest     = 5
)

// Request asks for one session of Claude Code.
type Request struct {
	Model  string // empty: the chosen one
	Cloud  bool   // in the cloud, not on a local model
	Lean   bool   // with the lean profile, whatever is chosen for new local sessions
	Queue  Queue
	Folder string
	Args   []string // for Claude Code
}

// Session is a session that is ready to start. Call either Start or Leave.
type Session struct {
	Program string
	Args    []string // with the program's name first
	Environ []string
	Leave   func() // gives up the session's slot
}

// Prepare finds everything that a session needs, and takes a slot for it, for which it may
// have to queue. The error is a *fault.Error.
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
	if err := stays(r); err != nil {
		return run, err
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
	if !r.Cloud {
		run.Environ = claude.WithoutPast(run.Environ)
	}
	return run, nil
}

// stays refuses a flag of Claude Code's that would take a local session to Anthropic's cloud.
func stays(r Request) error {
	if leaves := claude.ParseLaunch(r.Args).Leaves; leaves != "" && !r.Cloud {
		return &fault.Error{Kind: fault.Refused, What: whatRun, Why: leaves + " connects the session to Anthropic's cloud", Remedy: "leave it out, or start it in the cloud: switchyard run --cloud"}
	}
	return nil
}

// Start turns this process into the session, so that it returns only on failure. On Windows
// it waits for the session instead, and returns its exit code.
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

// program is the path of Claude Code.
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

// ownSettings removes --settings from Claude Code's arguments, and returns the settings. There
// can be only one --settings, and it is ours.
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

// writeOverlay writes the settings for this session to a file. They hold the gateway's
// token, which must not be on a command line, where all users see it.
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
