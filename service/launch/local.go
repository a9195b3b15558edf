package launch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/state"
)

// localValues takes a slot, and returns the variables for a local session. The function gives
// the slot back.
func localValues(ctx context.Context, m *machine.Machine, r Request, progress localrunner.Progress) (values map[string]string, _ func(), err error) {
	nothing := func() {}
	if decides := m.Scope("").Stronger(claude.UserTarget(m.ConfigDir())); decides != nil {
		return nil, nothing, decides
	}
	to, route, users, err := destination(ctx, m, r, progress)
	if err != nil {
		return nil, nothing, err
	}
	r.Queue.beside = func() []sessions.Slot {
		if users == nil {
			users = control.GatewayState(ctx, m).Sessions
		}
		others := otherSessions(m, to.Model, users)
		users = nil // ask again the next time
		return others
	}
	leave, waited, err := acquire(ctx, m, sessions.Slot{Model: to.Model, Folder: r.Folder, Gateway: to.Way == claude.Gateway}, r.Queue)
	if err != nil {
		return nil, nothing, err
	}
	if waited { // the runner may have changed
		r.Model = to.Model
		if to, route, _, err = destination(ctx, m, r, progress); err != nil {
			leave()
			return nil, nothing, err
		}
	}
	values = m.Scope(r.Folder).Neutral()
	for name, value := range claude.Values(route, to) {
		values[name] = value
	}
	values["ANTHROPIC_MODEL"] = to.Model
	return values, leave, nil
}

// destination says where a session's requests go: to the gateway of the running Switchyard,
// or else to the runner. users are the sessions that use the gateway. Nothing is proven, so
// that the session starts at once.
func destination(ctx context.Context, m *machine.Machine, r Request, progress localrunner.Progress) (to claude.Destination, route claude.Route, users []gateway.Session, err error) {
	name := cmp.Or(r.Model, m.Config.Model)
	running := control.Connect(m)
	known, err := running.Session(ctx, name)
	if errors.Is(err, control.ErrNotRunning) {
		to, err = directDestination(ctx, m, cmp.Or(name, m.Chosen()), progress)
		return to, claude.Local, nil, err
	}
	if err != nil {
		return to, "", nil, err
	}
	if known.Runner.State != state.Running && known.Runner.State != "" {
		if known, err = startRunner(ctx, m, running, name, known, progress); err != nil {
			return to, "", nil, err
		}
	}
	switch {
	case known.Missing && name != "":
		return to, "", nil, &fault.Error{Kind: fault.Refused, Why: "Model Runner has no model " + name, Remedy: "pull it: switchyard pull " + name + "; switchyard models lists those it has"}
	case known.Model == "" || known.Missing:
		return to, "", nil, &fault.Error{Kind: fault.Refused, Why: "no model is chosen", Remedy: "name one: switchyard run --model MODEL (switchyard models lists them)"}
	}
	if known.NoTools && progress.Warn != nil {
		progress.Warn(state.Model{Tag: known.Model, NoTools: true}.UnfitWarning())
	}
	route = claude.Local
	if known.Route == claude.Offline {
		route = claude.Offline
	}
	return claude.Destination{BaseURL: known.Address.URL, Token: known.Address.Token, Model: known.Model, Context: known.Context,
		Name: runner.Short(known.Model), About: known.About, Slots: known.Slots, Way: claude.Gateway}, route, known.Users, nil
}

// startRunner starts a stopped runner, if that is allowed, and asks again.
func startRunner(ctx context.Context, m *machine.Machine, running *control.Client, name string, known control.SessionAnswer, progress localrunner.Progress) (control.SessionAnswer, error) {
	w, down := known.Runner.Warning()
	if !down {
		return known, nil // it is starting, and the gateway waits for it
	}
	failed := &fault.Error{Kind: fault.Unreachable, Why: strings.TrimPrefix(w.Text, "Claude Code is pointed to "), Remedy: strings.TrimSuffix(w.Remedy, "; or go back: switchyard cloud")}
	if !known.Runner.Controlled || !m.MayStart() {
		return known, failed
	}
	if progress.Begin != nil {
		progress.Begin("start_runner")
	}
	if err := control.ControlRunner(ctx, m, localrunner.Start); err != nil {
		return known, err
	}
	return running.Session(ctx, name)
}

// directDestination is the runner itself, if no Switchyard is running.
func directDestination(ctx context.Context, m *machine.Machine, name string, progress localrunner.Progress) (to claude.Destination, err error) {
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		return to, err
	}
	if f, err = control.BringUp(ctx, m, f, progress); err != nil {
		return to, err
	}
	at := f.Endpoint()
	if at.BaseURL() == "" && f.MayAnswer() {
		return to, &fault.Error{Kind: fault.Unreachable, Why: "Model Runner answers on " + at.Socket + " only, which Claude Code cannot use", Remedy: localrunner.SocketRemedy(f)}
	}
	client := runner.NewClient(at)
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
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
		progress.Warn(state.Warning{Code: "no_gateway", Text: "Switchyard is not running: the session connects to Model Runner directly; some models reject that", Remedy: "start it: switchyard"})
	}
	return claude.Destination{BaseURL: at.BaseURL(), Token: machine.DummyToken, Model: tag, Context: model.Context,
		Name: runner.Short(tag), About: model.About(model.Context), Slots: gateway.Parallel(m.Config.Parallel, model.Slots, model.Context), Way: claude.Direct}, nil
}

// otherSessions are the sessions that recently used a model, and were not started by
// switchyard run.
func otherSessions(m *machine.Machine, tag string, users []gateway.Session) (others []sessions.Slot) {
	if len(users) == 0 {
		return nil
	}
	places := sessions.Slots(m)
	for _, dir := range m.ConfigDirs() {
		live, err := claude.Sessions(dir)
		if err != nil {
			continue
		}
		for _, s := range live {
			if slices.ContainsFunc(places, func(p sessions.Slot) bool { return p.PID == s.PID }) {
				continue
			}
			for _, g := range users {
				if g.ID == s.SessionID && g.Model == tag && (g.Running > 0 || time.Since(g.Last) < sessions.ActiveFor) {
					others = append(others, sessions.Slot{PID: s.PID, Start: s.ProcStart, Started: s.StartedAt, Folder: s.CWD, Since: s.Started()})
				}
			}
		}
	}
	return others
}
