package switching

import (
	"context"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// destination finds the runner and the model, and proves that they work. skipped are the
// proofs that were not run.
func destination(ctx context.Context, m *machine.Machine, r Request, progress localrunner.Progress) (to claude.Destination, skipped []string, err error) {
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		return claude.Destination{}, nil, err
	}
	if !r.Force {
		if f, err = control.BringUp(ctx, m, f, progress); err != nil {
			return claude.Destination{}, nil, err
		}
	}
	found := f.Endpoint()
	to = claude.Destination{BaseURL: found.BaseURL(), Token: machine.DummyToken, Direct: found.BaseURL()}
	at, served := control.GatewayAddress(ctx, m)
	switch {
	case r.Direct:
		to.Way = claude.Direct
	case served:
		to.BaseURL, to.Token, to.Way = at.URL, at.Token, claude.Gateway
	}
	if to.BaseURL == "" {
		return to, nil, &fault.Error{Kind: fault.Unreachable, Why: "Model Runner answers on " + found.Socket + " only, which Claude Code cannot use",
			Remedy: localrunner.SocketRemedy(f)}
	}
	client := runner.NewClient(found)
	defer client.Close()
	if to.Way == claude.Gateway {
		client.Through(to.BaseURL, to.Token)
	}
	name := r.Model
	if name == "" {
		name = m.Chosen()
	}
	if r.Force {
		return unproven(ctx, m, client, to, name, r.Context)
	}
	before := models.BeforeLoad(ctx, m, client, name)
	if w, ok := before.Warning(); ok && progress.Warn != nil {
		progress.Warn(w)
	}
	wish := runner.Wish{Model: name, Context: r.Context}
	build, _ := client.Build(ctx)
	if to.Way == claude.Gateway { // else the model may refuse what the gateway would mend
		wish.Proven = func(one runner.Model) bool { return models.Proven(m, one.ID, build) }
	}
	model, tag, err := prove(ctx, m, client, wish, build, progress)
	if runner.OutOfMemory(err) && unloadOthers(ctx, m, client, tag) {
		before.Free = -1 // memory was freed: the load cannot be measured
		model, tag, err = prove(ctx, m, client, wish, build, progress)
	}
	if err != nil {
		return to, nil, before.Explain(err)
	}
	models.LearnNeed(ctx, m, before)
	models.Learn(m, model.ID, func(l *models.Learned) { l.Used = time.Now() })
	to.Model, to.Context = tag, model.Context
	describe(m, &to, model, before.Fit())
	return to, []string{}, nil
}

// prove runs the proofs, and remembers what they show of this build of the engine.
func prove(ctx context.Context, m *machine.Machine, client *runner.Client, wish runner.Wish, build string, progress localrunner.Progress) (runner.Model, string, error) {
	var proofs []runner.Proof
	wish.Begin = progress.Begin
	wish.Done = func(p runner.Proof) {
		proofs = append(proofs, p)
		switch {
		case progress.Done != nil:
			progress.Done(p)
		case p.Minor && progress.Warn != nil:
			progress.Warn(state.Warning{Code: "proof_" + p.Name, Text: p.Detail, Remedy: p.Remedy})
		}
	}
	model, tag, err := client.Prove(ctx, wish)
	if build == "" { // llama.cpp had never run
		build, _ = client.Build(ctx)
	}
	models.LearnFrom(m, model, build, client.Mended(), proofs)
	return model, tag, err
}

// unloadOthers unloads all other idle models, and reports whether there were any. Model
// Runner does not do that by itself (docker/model-runner#1014).
func unloadOthers(ctx context.Context, m *machine.Machine, client *runner.Client, tag string) bool {
	loaded, err := client.Running(ctx)
	if err != nil {
		return false
	}
	freed := false
	for _, l := range loaded {
		if runner.Full(l.Model) == tag || l.InUse {
			continue
		}
		n, err := client.Unload(ctx, l.Model)
		freed = freed || err == nil && n > 0
	}
	return freed
}

// unproven finds the model without proofs, and names the proofs that were skipped.
func unproven(ctx context.Context, m *machine.Machine, client *runner.Client, to claude.Destination, name string, wish int) (claude.Destination, []string, error) {
	all := runner.Proofs()
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	models, err := client.Models(ctx)
	if err != nil {
		if to.Model = name; name == "" {
			return to, nil, &fault.Error{Kind: fault.Refused, Why: "no model was named, and Model Runner at " + client.Endpoint().String() + " does not say which it has",
				Remedy: "name the model, or start Model Runner", Err: err}
		}
		to.Context = wish
		return to, all, nil
	}
	model, tag, err := runner.Pick(models, name)
	if err != nil {
		if to.Model = name; name == "" {
			return to, nil, err
		}
		to.Context = wish
		return to, without(all, "runner"), nil
	}
	to.Model, to.Context = tag, model.Context
	if wish > 0 {
		to.Context = wish
	}
	describe(m, &to, model, "")
	return to, without(all, "runner", "model"), nil
}

func without(all []string, names ...string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(names, name) })
}

// describe fills in what Claude Code shows of the model, and how many requests it is given.
// fit says how it fits the GPU; empty when that is unknown.
func describe(m *machine.Machine, to *claude.Destination, model runner.Model, fit string) {
	to.Name, to.About = runner.Short(to.Model), model.About(to.Context)
	if fit != "" {
		to.About += " · " + fit
	}
	to.Slots = gateway.Parallel(m.Config.Parallel, model.Slots, to.Context)
}

// Check runs the proofs for a model; an empty name means the chosen one. They go through the
// gateway, unless there is none or direct is set. wish is the least context in tokens. The
// error is a *fault.Error.
func Check(ctx context.Context, m *machine.Machine, name string, wish int, direct bool, progress localrunner.Progress) error {
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		return err
	}
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	if at, served := control.GatewayAddress(ctx, m); served && !direct {
		client.Through(at.URL, at.Token)
	}
	if name == "" {
		name = m.Chosen()
	}
	build, _ := client.Build(ctx)
	if _, _, err := prove(ctx, m, client, runner.Wish{Model: name, Context: wish}, build, progress); err != nil {
		return fault.Wrap("checking", err)
	}
	return nil
}
