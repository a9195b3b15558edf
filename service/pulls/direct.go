package pulls

import (
	"context"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Pull pulls a model for a command. The running Switchyard does it, so that the pull is
// shown and resumed; without one it is done here. each is called with every step.
func Pull(ctx context.Context, m *machine.Machine, ref string, each func(state.Pull)) (state.Pull, error) {
	what := "pulling " + ref
	if running, err := control.Find(ctx, m); err == nil {
		return running.Pull(ctx, ref, each)
	}
	if err := m.MayPull(ref); err != nil {
		return state.Pull{}, err
	}
	f, err := localrunner.Find(ctx, m)
	if err != nil {
		return state.Pull{}, err
	}
	if f, err = control.BringUp(ctx, m, f, localrunner.Progress{}); err != nil {
		return state.Pull{}, fault.Wrap(what, err)
	}
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	if err := room(ctx, client, ref, 0, f.Seen.Store); err != nil {
		return state.Pull{}, fault.Wrap(what, err)
	}
	one := &job{Pull: state.Pull{Ref: ref, State: state.Pulling}}
	if err := client.Pull(ctx, ref, func(now runner.Progress) {
		one.setProgress(now)
		each(one.Pull)
	}); err != nil {
		return one.Pull, fault.Wrap(what, err)
	}
	one.State = state.PullDone
	if model, err := client.Model(ctx, runner.Full(ref)); err == nil {
		one.Size, one.Context = model.Size, model.Context
	}
	return one.Pull, nil
}
