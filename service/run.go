package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
)

// RunRequest asks for one session of Claude Code that goes its own way, whatever
// the settings say.
type RunRequest struct {
	Model   string // empty: the chosen one
	Cloud   bool   // to the cloud instead
	Lean    bool   // with the lean profile, also where new local sessions have it not
	Company Company
	Folder  string
	Args    []string // Claude Code's
}

// Run is a session that is ready to be started.
type Run struct {
	Program string
	Args    []string // with the program's name
	Environ []string
	Leave   func() // when it was not started after all
}

const whatRun = "starting a session"

// runVariable counts how many sessions were started within each other.
const (
	runVariable = "SWITCHYARD_RUN"
	deepest     = 5
)

// PrepareRun finds everything a session needs, and takes its place. The error is an *Error.
func (y *Yard) PrepareRun(ctx context.Context, r RunRequest, progress Progress) (Run, error) {
	run := Run{Leave: func() {}}
	var err error
	if run.Program, err = y.claude(); err != nil {
		return run, err
	}
	if lock, locked := y.Locked(r.Folder); locked && r.Cloud {
		return run, commandError(whatRun, lock.refusal())
	}
	if status, err := y.ledger.Inspect(claude.UserTarget(y.configDir())); r.Cloud && err == nil && status.Route == claude.Offline {
		return run, &Error{Kind: Refused, What: whatRun, Why: "the route is offline", Remedy: "end that first: switchyard cloud --yes"}
	}
	base, args, err := y.ownSettings(r)
	if err != nil {
		return run, err
	}
	var values map[string]string
	if r.Cloud {
		values, err = y.cloudValues(r.Folder)
	} else {
		values, run.Leave, err = y.localValues(ctx, r, progress)
	}
	if err != nil {
		return run, commandError(whatRun, err)
	}
	front := []string{"claude"}
	if len(values) > 0 || base != nil {
		overlay, err := y.writeOverlay(base, values)
		if err != nil {
			run.Leave()
			return run, commandError(whatRun, err)
		}
		front = append(front, "--settings", overlay)
	}
	if lean := r.Lean || !r.Cloud && y.Lean(); lean && claude.ParseLaunch(args).Agent == "" {
		agent, err := y.leanAgent()
		if err != nil {
			run.Leave()
			return run, commandError(whatRun, err)
		}
		definition, err := json.Marshal(inline(agent))
		if err != nil {
			run.Leave()
			return run, commandError(whatRun, err)
		}
		front = append(front, "--agents", string(definition), "--agent", agent.Name)
	}
	run.Args = append(front, args...)
	run.Environ = append(slices.DeleteFunc(slices.Clone(y.Environ), func(pair string) bool { return strings.HasPrefix(pair, runVariable+"=") }),
		runVariable+"="+strconv.Itoa(y.number(runVariable)+1))
	return run, nil
}

// claudeProgram is Claude Code: the one on the PATH, or where its own installer puts
// it; empty when there is none.
func (y *Yard) claudeProgram() string {
	if program := engine.LookPath("claude", y.getenv("PATH")); program != "" {
		return program
	}
	for _, file := range []string{filepath.Join(y.Home, ".local", "bin", "claude"), filepath.Join(y.Home, ".claude", "local", "claude")} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// claude is Claude Code's program, for a session.
func (y *Yard) claude() (string, error) {
	program := y.claudeProgram()
	switch {
	case program == "":
		return "", &Error{Kind: Refused, What: whatRun, Why: "Claude Code (claude) was not found", Remedy: "install Claude Code: npm install -g @anthropic-ai/claude-code"}
	case y.number(runVariable) >= deepest:
		return "", &Error{Kind: Refused, What: whatRun, Why: program + " seems to start switchyard run itself, again and again", Remedy: "give the script another name, or put Claude Code's own program before it on the PATH"}
	}
	return program, nil
}

// ownSettings takes --settings out of Claude Code's arguments: there can be one only.
func (y *Yard) ownSettings(r RunRequest) (settings []byte, args []string, err error) {
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
			return nil, nil, &Error{Kind: Refused, What: whatRun, Why: "its --settings cannot be read: " + err.Error(), Remedy: "check the name", Err: err}
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
func (y *Yard) writeOverlay(base []byte, values map[string]string) (file string, err error) {
	data, err := claude.Overlay(base, values)
	if err != nil {
		return "", err
	}
	dir, err := y.Paths.runs()
	if err != nil {
		return "", err
	}
	file = overlayFile(dir, os.Getpid())
	return file, writeWhole(file, data)
}

// localValues are the variables of a local session, whose place is taken.
func (y *Yard) localValues(ctx context.Context, r RunRequest, progress Progress) (values map[string]string, _ func(), err error) {
	nothing := func() {}
	if decides := y.Scope("").Stronger(claude.UserTarget(y.configDir())); decides != nil {
		return nil, nothing, decides
	}
	to, route, users, err := y.runTo(ctx, r, progress)
	if err != nil {
		return nil, nothing, err
	}
	r.Company.others = func() []place {
		if users == nil {
			users = y.lookAtGateway(ctx).Sessions
		}
		others := y.othersOn(to.Model, users)
		users = nil // it is asked anew the next time
		return others
	}
	leave, waited, err := y.takePlace(ctx, place{Model: to.Model, Folder: r.Folder, Gateway: to.Way == claude.Gateway}, r.Company)
	if err != nil {
		return nil, nothing, err
	}
	if waited { // much may have happened
		r.Model = to.Model
		if to, route, _, err = y.runTo(ctx, r, progress); err != nil {
			leave()
			return nil, nothing, err
		}
	}
	values = y.Scope(r.Folder).Neutral()
	for name, value := range claude.Values(route, to) {
		values[name] = value
	}
	values["ANTHROPIC_MODEL"] = to.Model
	return values, leave, nil
}

// runAnswer is what the running Switchyard knows for a session.
type runAnswer struct {
	Address address           `json:"address"`
	Model   string            `json:"model"`
	Context int               `json:"context"`
	Missing bool              `json:"missing"`
	Route   claude.Route      `json:"route"`
	Runner  Runner            `json:"runner"`
	Users   []gateway.Session `json:"users"` // what is known of the sessions
}

// runTo says where a session's requests go: through the running Switchyard's
// gateway, else to the runner. Nothing is proven: a session shall start at once.
func (y *Yard) runTo(ctx context.Context, r RunRequest, progress Progress) (to claude.Destination, route claude.Route, users []gateway.Session, err error) {
	name := cmp.Or(r.Model, y.Config.Model)
	running := y.supervised()
	known, err := running.run(ctx, name)
	if errors.Is(err, ErrNoSupervisor) {
		to, err = y.runDirectly(ctx, cmp.Or(name, y.chosen()), progress)
		return to, claude.Local, nil, err
	}
	if err != nil {
		return to, "", nil, err
	}
	if known.Runner.State != Running && known.Runner.State != "" {
		if known, err = y.raise(ctx, running, name, known, progress); err != nil {
			return to, "", nil, err
		}
	}
	switch {
	case known.Missing && name != "":
		return to, "", nil, &Error{Kind: Refused, Why: "Model Runner has no model " + name, Remedy: "pull it: switchyard pull " + name + "; switchyard models lists those it has"}
	case known.Model == "" || known.Missing:
		return to, "", nil, &Error{Kind: Refused, Why: "no model is chosen", Remedy: "name one: switchyard run --model MODEL (switchyard models lists them)"}
	}
	route = claude.Local
	if known.Route == claude.Offline {
		route = claude.Offline
	}
	return claude.Destination{BaseURL: known.Address.URL, Token: known.Address.Token, Model: known.Model, Context: known.Context, Way: claude.Gateway}, route, known.Users, nil
}

// raise starts a runner that does not run, where that is allowed.
func (y *Yard) raise(ctx context.Context, running *Supervised, name string, known runAnswer, progress Progress) (runAnswer, error) {
	w, down := known.Runner.warning()
	if !down {
		return known, nil // starting: the gateway waits for it
	}
	failed := &Error{Kind: Unreachable, Why: strings.TrimPrefix(w.Text, "Claude Code is pointed to "), Remedy: strings.TrimSuffix(w.Remedy, "; or go back: switchyard cloud")}
	if !known.Runner.Controlled || !y.mayStart() {
		return known, failed
	}
	if progress.Begin != nil {
		progress.Begin("start_runner")
	}
	if err := y.Control(ctx, StartRunner); err != nil {
		return known, err
	}
	return running.run(ctx, name)
}

// runDirectly finds the runner without a running Switchyard.
func (y *Yard) runDirectly(ctx context.Context, name string, progress Progress) (to claude.Destination, err error) {
	f, err := y.find(ctx)
	if err != nil {
		return to, err
	}
	if f, err = y.bringUp(ctx, f, progress); err != nil {
		return to, err
	}
	at := f.endpoint()
	if at.BaseURL() == "" && f.asked() {
		return to, &Error{Kind: Unreachable, Why: "Model Runner answers on " + at.Socket + " only, which Claude Code cannot use", Remedy: socketRemedy(f)}
	}
	client := runner.NewClient(at)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	models, err := client.Models(ctx)
	if err != nil {
		return to, err
	}
	model, tag, err := runner.Pick(models, name)
	if err != nil {
		return to, err
	}
	if progress.Warn != nil {
		progress.Warn(Warning{Code: "no_gateway", Text: "Switchyard is not running: the session connects to Model Runner directly; some models reject that", Remedy: "start it: switchyard"})
	}
	return claude.Destination{BaseURL: at.BaseURL(), Token: dummyToken, Model: tag, Context: model.Context, Way: claude.Direct}, nil
}

// run asks what a session needs to know.
func (s *Supervised) run(ctx context.Context, model string) (known runAnswer, err error) {
	err = s.ask(ctx, "GET", "/run?model="+url.QueryEscape(model), &known)
	return known, err
}

// ForRun answers it.
func (v *door) ForRun(ctx context.Context, name string) runAnswer {
	state := v.options.state()
	v.guard.soon() // the address is about to be given to a session
	a := runAnswer{Address: v.address(), Route: state.Route, Runner: state.Runner, Users: v.gateway.Snapshot().Sessions}
	if name == "" {
		name = cmp.Or(state.Model, state.Chosen)
	}
	if state.Runner.State != Running {
		return a
	}
	m := v.model(ctx, name)
	a.Model, a.Context, a.Missing = m.Tag, m.Context, m.Missing
	return a
}

// othersOn are the sessions on a model that no "switchyard run" started, and that
// have asked it lately.
func (y *Yard) othersOn(tag string, users []gateway.Session) (others []place) {
	if len(users) == 0 {
		return nil
	}
	places := y.places()
	for _, dir := range y.configDirs() {
		live, err := claude.Sessions(dir)
		if err != nil {
			continue
		}
		for _, s := range live {
			if slices.ContainsFunc(places, func(p place) bool { return p.PID == s.PID }) {
				continue
			}
			for _, g := range users {
				if g.ID == s.SessionID && g.Model == tag && (g.Running > 0 || time.Since(g.Last) < active) {
					others = append(others, place{PID: s.PID, Start: s.ProcStart, Started: s.StartedAt, Folder: s.CWD, Since: s.Started()})
				}
			}
		}
	}
	return others
}

func (y *Yard) configDirs() (dirs []string) {
	for _, t := range y.Targets() {
		dirs = append(dirs, t.ConfigDir)
	}
	return unique(dirs)
}

// cloudValues are the variables that take a session to where the cloud was before
// Switchyard, or somebody else, pointed Claude Code to this machine.
func (y *Yard) cloudValues(folder string) (map[string]string, error) {
	values := map[string]string{}
	targets, err := y.ledger.Switched()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(targets, func(a, b claude.Target) int { return len(a.Project) - len(b.Project) }) // a project's word comes last, and counts
	for _, t := range targets {
		if t.ConfigDir != y.configDir() || !t.Covers(claude.Session{CWD: folder}) {
			continue
		}
		before, err := y.ledger.Before(t)
		if err != nil {
			return nil, err
		}
		for name, value := range before {
			switch {
			case value != nil:
				values[name] = *value
			case values[name] == "":
				values[name] = y.getenv(name)
			}
		}
	}
	if len(values) > 0 {
		return values, nil
	}
	settings, _ := y.Scope(folder).Explain()
	i := slices.IndexFunc(settings, func(s claude.Setting) bool { return s.Name == "ANTHROPIC_BASE_URL" })
	if i < 0 || elsewhere(settings[i].Value) {
		return values, nil
	}
	for _, s := range settings {
		if _, ours := claude.Values(claude.Local, claude.Destination{})[s.Name]; ours || s.Name == "ANTHROPIC_MODEL" && strings.Contains(s.Value, "/") {
			values[s.Name] = ""
		}
	}
	return values, nil
}

// Start turns this process into the session, or waits for it where that cannot be;
// then the exit code is its own.
func (r Run) Start() (code int, err error) {
	code, err = become(r)
	if err == nil {
		return code, nil
	}
	r.Leave()
	failed := &Error{Kind: Failed, What: whatRun, Why: r.Program + ": " + err.Error(), Remedy: "try it alone: " + r.Program + " --version", Err: err}
	if errors.Is(err, os.ErrPermission) {
		failed.Remedy = "make it executable"
	}
	return 1, failed
}
