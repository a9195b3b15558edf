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
	// progressEvery is how often progress is reported.
	progressEvery = 250 * time.Millisecond
	// stallLimit is how long a pull may make no progress before it counts as failed.
	stallLimit = time.Hour
	// lossWindow: Model Runner may lose a model whose pull ended less than this before
	// another pull did.
	lossWindow = 10 * time.Second
	// maxLosses is how often a lost model is pulled again.
	maxLosses = 5
)

// run does one pull. ctx is the puller's; pull ends when the pull is cancelled.
func (p *Puller) run(ctx, pull context.Context, one *job) {
	err := p.options.Start(pull, !one.resumed)
	if err == nil {
		err = p.pullWithRetries(ctx, pull, one)
	}
	var m runner.Model
	if err == nil {
		client := p.client(ctx)
		m, _ = client.Model(ctx, runner.Full(one.Ref)) // without it the notification says less
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

// maybeLost are the pulls whose models may have been lost when the last one ended, itself
// included.
func (p *Puller) maybeLost(last *job) (ended []*job) {
	since := time.Now().Add(-lossWindow)
	if last.losses > 0 { // Model Runner may have restored its list from before the pull
		since = last.begun
	}
	for _, one := range p.pulls {
		if one.State == state.PullDone && !one.Others && one.ended.After(since) {
			ended = append(ended, one)
		}
	}
	return ended
}

// retryLost pulls models again that Model Runner has lost. That is quick: their weights
// are still there.
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

// pullWithRetries pulls, and tries again as long as that may help.
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
		if errors.As(err, &failed) && failed.Missing && best > 0 { // the registry has the model: it already sent a part of it
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
				one.Why, one.Remedy = failed.Why, "it resumes by itself"
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

// setResult notes what was pulled.
func setResult(p *state.Pull, m runner.Model, v state.VRAM) {
	p.Size, p.Context = m.Size, m.Context
	p.Fit = gpu.Judge(gpu.Needs(memory.Shape(m), gpu.Setting{Context: m.Context}).Total, gpu.Free(v.Devices))
}
