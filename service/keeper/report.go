package keeper

import (
	"context"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Report is the runner and its models.
type Report struct {
	Runner state.Runner
	Look   int // the number of the look: reports of the same look have the same models
	Models []runner.Model
	Loaded []runner.Loaded
}

// reply answers the requests that are fulfilled, once the State shows it.
func (k *Keeper) reply(ctx context.Context) {
	if !k.hasLooked || k.looking || len(k.waiting) == 0 {
		return
	}
	k.options.Sync(ctx)
	var rest []request
	for _, a := range k.waiting {
		switch {
		case a.ctx.Err() != nil:
		case a.settled:
			a.done <- nil
		case a.do != localrunner.Nothing:
			rest = append(rest, a)
		case k.last.MayAnswer() && k.last.Status.Err == nil:
			a.done <- nil
		case k.effort == nil && !k.last.Seen.Controlled:
			a.done <- &fault.Error{Kind: fault.Unreachable, What: "starting Model Runner", Why: k.last.Describe(k.last.Status).Reason, Remedy: k.last.Remedy()}
		case k.effort == nil && k.last.Seen.Problem != nil && k.last.Seen.State == engine.Unknown:
			a.done <- fault.WrapEngine("starting Model Runner", k.last.Seen.Problem)
		default:
			rest = append(rest, a)
		}
	}
	k.waiting = rest
}

// report reports the runner, with what the keeper is doing about it.
func (k *Keeper) report(ctx context.Context) {
	if !k.hasLooked {
		return
	}
	r := k.last.Describe(k.last.Status)
	now := time.Now()
	r.Restarts = k.policy.restarts(now)
	r.ByPerson = r.State == state.Stopped && k.policy.stopped
	switch {
	case k.effort != nil && k.effort.do != localrunner.Nothing:
		if r.State != state.Running || k.effort.do != localrunner.Start {
			r.State, r.Doing, r.Reason, r.Remedy = state.Starting, k.effort.doing, "", ""
			if k.effort.do == localrunner.Stop {
				r.State = state.Stopped
			}
		}
	case r.State == state.Stopped && !k.needsPerson && k.policy.startPending(k.last):
		r.State, r.Doing, r.Reason = state.Starting, "restarting…", k.last.Seen.Why // it is about to be started again
	case k.reason != "" && (r.State == state.Running || k.policy.gaveUp || r.State == state.Stopped && !r.ByPerson && !k.last.Seen.Meant):
		r.State, r.Reason, r.Remedy = state.RunnerFailed, k.reason, k.remedy
	case r.State == state.RunnerFailed && k.last.Seen.State == engine.Running && now.Sub(k.last.Seen.Since) < startGrace && k.last.Status.Silent():
		r.State, r.Doing, r.Reason, r.Remedy = state.Starting, "starting…", "", "" // someone else started it
	}
	k.wantsSuccess.Store(k.reason != "")
	k.options.Report(ctx, Report{r, k.looks, k.last.Status.Models, k.last.Status.Loaded})
}
