package pulls

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

const (
	// pullTell is how often progress is told.
	progressEvery = 250 * time.Millisecond
	// pullPatience is how long a pull may stand still before it counts as failed.
	stallLimit = time.Hour
	// pullEnd is how long before another pull's end one may have ended to be lost by it.
	lossWindow = 10 * time.Second
	// pullLosses is how often a model that Model Runner lost is pulled again.
	maxLosses = 5
)

// pull does one pull, over lost connections.
func (p *Puller) run(ctx, pull context.Context, one *job) {
	err := p.options.Start(pull, !one.resumed)
	if err == nil {
		err = p.pullWithRetries(ctx, pull, one)
	}
	var m runner.Model
	if err == nil {
		client := p.client(ctx)
		m, _ = client.Model(ctx, runner.Full(one.Ref)) // without it the notice says less
		client.Close()
	}
	p.options.ModelsChanged()
	cancelled := pull.Err() != nil
	ended := make(chan []*job, 1)
	p.post(ctx, func() {
		one.cancel()
		one.ended, one.Rate, one.Left = time.Now(), 0, 0
		switch {
		case err == nil:
			one.State, one.Done = state.PullDone, max(one.Done, one.Total)
			setResult(&one.Pull, m, p.options.VRAM())
		case cancelled:
			one.State, one.Why, one.Remedy = state.Cancelled, "", ""
		default:
			one.State = state.PullFailed
			one.Why, one.Remedy = reasonOf(err)
		}
		p.save()
		ended <- p.maybeLost(one)
	})
	select {
	case list := <-ended:
		p.retryLost(ctx, list)
	case <-ctx.Done():
	}
}

// endedBy are the pulls that the end of one may have lost, itself among them.
func (p *Puller) maybeLost(last *job) (ended []*job) {
	since := time.Now().Add(-lossWindow)
	if last.losses > 0 { // the list from before it may have been put back
		since = last.begun
	}
	for _, one := range p.pulls {
		if one.State == state.PullDone && !one.Others && one.ended.After(since) {
			ended = append(ended, one)
		}
	}
	return ended
}

// again has those pulled again that Model Runner has lost after their end. Their
// weights are there still.
func (p *Puller) retryLost(ctx context.Context, ended []*job) {
	client := p.client(ctx)
	defer client.Close()
	for _, one := range ended {
		if !client.Lacks(ctx, one.Ref) || p.options.Machine.MayPull(one.Ref) != nil {
			continue
		}
		p.post(ctx, func() {
			if one.State == state.PullDone && one.losses < maxLosses {
				one.losses++
				one.State, one.cancel = state.Queued, nil
				p.save()
			}
		})
	}
}

// tries pulls again and again while that may help.
func (p *Puller) pullWithRetries(ctx, pull context.Context, one *job) error {
	moved, told, best := time.Now(), time.Time{}, one.Done
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		client := p.client(pull)
		err := p.room(pull, client, one.Ref, best)
		if err == nil {
			err = client.Pull(pull, one.Ref, func(now runner.Progress) {
				if now.Done > best {
					best, moved, pause = now.Done, time.Now(), time.Second
				}
				if time.Since(told) < progressEvery && now.Done < now.Total {
					return
				}
				told = time.Now()
				p.post(ctx, func() { one.setProgress(now) })
			})
		}
		client.Close()
		var failed *runner.PullError
		if errors.As(err, &failed) && failed.Missing && best > 0 { // a registry that gave a part of it has it
			failed.Again, failed.Why = true, "its registry cannot be reached"
		}
		if err == nil || failed == nil || !failed.Again || failed.Lost && one.losses == maxLosses || time.Since(moved) > stallLimit || pull.Err() != nil {
			return err
		}
		if failed.Lost {
			one.losses++
		}
		p.post(ctx, func() {
			if !one.State.Over() {
				one.State, one.Rate, one.Left = state.Waiting, 0, 0
				one.Why, one.Remedy = failed.Why, "it goes on by itself"
			}
		})
		select {
		case <-pull.Done():
			return pull.Err()
		case <-time.After(pause):
		}
	}
}

func (p *Puller) client(ctx context.Context) *runner.Client {
	return runner.NewClient(p.options.Runner(ctx).Endpoint())
}

func reasonOf(err error) (reason, remedy string) {
	var failed *runner.PullError
	if errors.As(err, &failed) {
		return failed.Why, failed.Remedy
	}
	return fault.Explain(fault.Wrap("pulling", err))
}

// noteArrival notes what has come.
func setResult(p *state.Pull, m runner.Model, v state.VRAM) {
	p.Size, p.Context = m.Size, m.Context
	p.Fit = gpu.Judge(gpu.Needs(memory.Shape(m), gpu.Setting{Context: m.Context}).Total, gpu.Free(v.Devices))
}
