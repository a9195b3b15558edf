// Package models lists, loads, changes and removes the runner's models, and remembers
// what Switchyard learned about them.
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

// List lists the models with everything known about them. It starts the runner if needed.
func List(ctx context.Context, m *machine.Machine) ([]state.Model, error) {
	const what = "listing the models"
	client, err := reach(ctx, m, what)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.Models(ctx)
	if err != nil {
		return nil, fault.Wrap(what, err)
	}
	loaded, _ := client.Running(ctx)
	NoteSeen(m, all)
	return Fits(m, Describe(m, localrunner.Tagged(all), loaded), all, memory.Read(ctx, m)), nil
}

// Look looks at the runner without starting it. It returns the runner and its models, as a
// State shows them, and the models as the runner describes them.
func Look(ctx context.Context, m *machine.Machine) (state.Runner, []state.Model, []runner.Model) {
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		what, remedy := fault.Explain(err)
		return state.Runner{State: state.Absent, Engine: engine.None, Reason: what, Remedy: remedy}, nil, nil
	}
	var a localrunner.Status
	if f.MayAnswer() {
		a = f.Ask(ctx, "")
	}
	r := f.Describe(a)
	r.ByPerson = r.State == state.Stopped && m.StoppedByPerson()
	return r, Describe(m, localrunner.Tagged(a.Models), a.Loaded), a.Models
}

// LookAtRunner is Look without the third result.
func LookAtRunner(ctx context.Context, m *machine.Machine) (state.Runner, []state.Model) {
	r, models, _ := Look(ctx, m)
	return r, models
}

// Describe fills in which models are loaded, and what was learned about them.
func Describe(m *machine.Machine, models []state.Model, loaded []runner.Loaded) []state.Model {
	known := learned(m)
	for i := range models {
		model := &models[i]
		model.Tools, model.Used = known[model.ID].Tools, known[model.ID].Used
		if model.NoTools && model.Tools == nil {
			model.Tools = new(bool)
		}
		model.NoTools = model.NoTools && model.Unfit()
		for _, l := range loaded {
			if runner.Full(l.Model) == model.Tag || l.Model == model.ID {
				model.Loaded, model.InUse = !l.Loading, l.InUse
			}
		}
	}
	return models
}

// Unused are the models not used for longer than older, or since Switchyard first saw
// them; with 0, all. A model that is in use, chosen or loaded is never among them.
func Unused(ctx context.Context, m *machine.Machine, older time.Duration) ([]state.Model, error) {
	all, err := List(ctx, m)
	if err != nil {
		return nil, err
	}
	chosen, known, inUse := runner.Full(m.Chosen()), learned(m), inUse(m)
	return slices.DeleteFunc(all, func(model state.Model) bool {
		last := known[model.ID].Used
		if seen := known[model.ID].Seen; seen.After(last) {
			last = seen
		}
		return model.Loaded || model.Tag == chosen || inUse(model.Tag, model.ID) || older > 0 && (last.IsZero() || time.Since(last) < older)
	}), nil
}

// Outdated are the models whose tag now names another model in its registry; with a name,
// only that model is checked. Models made on this machine have no registry. A registry
// that does not answer is skipped.
func Outdated(ctx context.Context, m *machine.Machine, name string) (outdated []state.Model, err error) {
	const what = "looking for newer models"
	if err := m.MayPull("newer models"); err != nil {
		return nil, err
	}
	client, err := reach(ctx, m, what)
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
	for _, model := range localrunner.Tagged(all) {
		if strings.HasPrefix(model.Tag, "docker.io/local/") {
			continue
		}
		if remote, err := client.Remote(ctx, model.Tag); err == nil && remote.ID != "" && remote.ID != model.ID {
			outdated = append(outdated, model)
		}
	}
	return outdated, nil
}

// inUse returns a function that reports whether Claude Code is pointed to a model.
func inUse(m *machine.Machine) func(tag, id string) bool {
	targets := m.Targets()
	if switched, err := m.Ledger.Switched(); err == nil {
		targets = append(targets, switched...)
	}
	used := map[string]bool{}
	for _, t := range targets {
		if now, err := m.Ledger.Inspect(t); err == nil && now.Route != claude.Cloud {
			used[now.Model] = true
		}
	}
	return func(tag, id string) bool { return used[tag] || used[id] }
}

// reach starts the runner if needed, and opens a client for it.
func reach(ctx context.Context, m *machine.Machine, what string) (*runner.Client, error) {
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		return nil, err
	}
	if f, err = control.BringUp(ctx, m, f, localrunner.Progress{}); err != nil {
		return nil, fault.Wrap(what, err)
	}
	return runner.NewClient(f.Endpoint()), nil
}

// pick opens a client and finds a model by the name that the user gave.
func pick(ctx context.Context, m *machine.Machine, what, name string) (client *runner.Client, model runner.Model, tag string, err error) {
	if client, err = reach(ctx, m, what); err != nil {
		return nil, model, "", err
	}
	all, err := client.Models(ctx)
	if err == nil {
		model, tag, err = runner.Pick(all, name)
	}
	if err != nil {
		client.Close()
		return nil, model, "", fault.Wrap(what, err)
	}
	return client, model, tag, nil
}
