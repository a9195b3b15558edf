package models

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Describe adds what is loaded and what was learned.
func Describe(y *machine.Machine, models []state.Model, loaded []runner.Loaded) []state.Model {
	known := known(y)
	for i := range models {
		m := &models[i]
		m.Tools, m.Used = known[m.ID].Tools, known[m.ID].Used
		for _, l := range loaded {
			if runner.Full(l.Model) == m.Tag || l.Model == m.ID {
				m.Loaded, m.InUse = !l.Loading, l.InUse
			}
		}
	}
	return models
}

// reach finds the runner, brings it up and opens a client of it.
func reach(ctx context.Context, y *machine.Machine, what string) (*runner.Client, error) {
	f, err := localrunner.Find(ctx, y)
	if err != nil {
		return nil, err
	}
	if f, err = control.BringUp(ctx, y, f, localrunner.Progress{}); err != nil {
		return nil, fault.Wrap(what, err)
	}
	return runner.NewClient(f.Endpoint()), nil
}

// List lists the models with all that is known of them.
func List(ctx context.Context, y *machine.Machine) ([]state.Model, error) {
	const what = "listing the models"
	client, err := reach(ctx, y, what)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.Models(ctx)
	if err != nil {
		return nil, fault.Wrap(what, err)
	}
	loaded, _ := client.Running(ctx)
	NoteSeen(y, all)
	return Fits(y, Describe(y, localrunner.Tagged(all), loaded), all, memory.Read(ctx, y)), nil
}

// pick opens a client and finds a model that a person names.
func pick(ctx context.Context, y *machine.Machine, what, name string) (client *runner.Client, m runner.Model, tag string, err error) {
	if client, err = reach(ctx, y, what); err != nil {
		return nil, m, "", err
	}
	all, err := client.Models(ctx)
	if err == nil {
		m, tag, err = runner.Pick(all, name)
	}
	if err != nil {
		client.Close()
		return nil, m, "", fault.Wrap(what, err)
	}
	return client, m, tag, nil
}

// Unused are the models that nobody has used for so long, counted from when
// Switchyard first saw them; never the one in use, the chosen one or a loaded one.
func Unused(ctx context.Context, y *machine.Machine, older time.Duration) ([]state.Model, error) {
	all, err := List(ctx, y)
	if err != nil {
		return nil, err
	}
	chosen, known, inUse := runner.Full(y.Chosen()), known(y), inUse(y)
	return slices.DeleteFunc(all, func(m state.Model) bool {
		last := known[m.ID].Used
		if seen := known[m.ID].Seen; seen.After(last) {
			last = seen
		}
		return m.Loaded || m.Tag == chosen || inUse(m.Tag, m.ID) || older > 0 && (last.IsZero() || time.Since(last) < older)
	}), nil
}

// Outdated are the models whose tag is another model in its registry by now. Those
// that were made here have no registry, and one that cannot be asked is left out.
func Outdated(ctx context.Context, y *machine.Machine, name string) (outdated []state.Model, err error) {
	const what = "looking for newer models"
	if err := y.MayPull("newer models"); err != nil {
		return nil, err
	}
	client, err := reach(ctx, y, what)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.Models(ctx)
	if err == nil && name != "" {
		var one runner.Model
		if one, name, err = runner.Pick(all, name); err == nil {
			one.Tags = []string{name}
			all = []runner.Model{one}
		}
	}
	if err != nil {
		return nil, fault.Wrap(what, err)
	}
	for _, m := range localrunner.Tagged(all) {
		if strings.HasPrefix(m.Tag, "docker.io/local/") {
			continue
		}
		if remote, err := client.Remote(ctx, m.Tag); err == nil && remote.ID != "" && remote.ID != m.ID {
			outdated = append(outdated, m)
		}
	}
	return outdated, nil
}

// LookAtRunner fills the State's part about the runner.
func LookAtRunner(ctx context.Context, y *machine.Machine) (state.Runner, []state.Model) {
	r, models, _ := Look(ctx, y)
	return r, models
}

func Look(ctx context.Context, y *machine.Machine) (state.Runner, []state.Model, []runner.Model) {
	f, err := localrunner.Find(ctx, y)
	if err != nil {
		what, remedy := fault.Parts(err)
		return state.Runner{State: state.Absent, Engine: engine.None, Reason: what, Remedy: remedy}, nil, nil
	}
	var a localrunner.Status
	if f.Asked() {
		a = f.Ask(ctx, "")
	}
	r := f.Describe(a)
	r.ByPerson = r.State == state.Stopped && y.StoppedByPerson()
	return r, Describe(y, localrunner.Tagged(a.Models), a.Loaded), a.Models
}

// inUse looks which models Claude Code is pointed to.
func inUse(y *machine.Machine) func(tag, id string) bool {
	targets := y.Targets()
	if switched, err := y.Ledger.Switched(); err == nil {
		targets = append(targets, switched...)
	}
	used := map[string]bool{}
	for _, t := range targets {
		if now, err := y.Ledger.Inspect(t); err == nil && now.Route != claude.Cloud {
			used[now.Model] = true
		}
	}
	return func(tag, id string) bool { return used[tag] || used[id] }
}
