// Package pulls pulls models. It survives lost connections and restarts of Switchyard, and
// notices pulls that Switchyard did not start.
package pulls

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

const (
	// pullsAtOnce is how many pulls the runner handles at a time; a third would hang.
	pullsAtOnce = 2
	// keepEnded is how long an ended pull is shown.
	keepEnded = 10 * time.Minute
)

// Options are what a puller works with.
type Options struct {
	Machine *machine.Machine
	Log     *slog.Logger

	Runner        func(context.Context) localrunner.Instance   // waits until the runner was looked for
	Start         func(ctx context.Context, person bool) error // starts the runner if needed, and returns when it answers
	VRAM          func() state.VRAM
	Report        func(context.Context, []state.Pull) // called with all pulls after every change
	ModelsChanged func()                              // called when the runner's models have changed
}

// Puller pulls models, and notices the pulls of others. One goroutine, Run, owns the list
// of pulls.
type Puller struct {
	options Options
	actions chan func() // to be done by Run
	count   int         // of all pulls so far
	pulls   []*job
	stopLog context.CancelFunc // ends the reading of the log; nil: none is read
	logRun  string             // the run whose log is read
	wg      sync.WaitGroup
}

// job is a pull with what belongs to it.
type job struct {
	state.Pull
	cancel   context.CancelFunc // nil: not started
	ended    time.Time
	rate     rate
	resumed  bool // started before Switchyard was restarted
	begun    time.Time
	losses   int               // how often Model Runner lost the model
	watchers []chan state.Pull // each holds the newest state
}

// New makes a puller; Run starts it.
func New(options Options) *Puller { return &Puller{options: options, actions: make(chan func())} }

// Run resumes the unfinished pulls of the last run, and pulls until the context ends.
func (p *Puller) Run(ctx context.Context) {
	defer p.wg.Wait()
	for _, ref := range p.load() {
		one := p.enqueue(ref)
		if one.resumed = true; p.options.Machine.MayPull(ref) != nil { // offline, as EndAll
			one.State, one.ended = state.Cancelled, time.Now()
		}
	}
	p.startQueued(ctx)
	p.report(ctx)
	tick := time.NewTicker(keepEnded)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-p.actions:
			f()
		case <-tick.C:
			p.pulls = slices.DeleteFunc(p.pulls, func(one *job) bool { return one.State.Over() && time.Since(one.ended) > keepEnded })
		}
		p.startQueued(ctx)
		p.report(ctx)
	}
}

// Pull starts a pull, or joins one in progress. The channel holds the newest state of the
// pull, until that is over.
func (p *Puller) Pull(ctx context.Context, ref string) <-chan state.Pull {
	heard := make(chan state.Pull, 1)
	p.post(ctx, func() {
		one := p.enqueue(ref)
		one.watchers = append(one.watchers, heard)
	})
	return heard
}

// Cancel cancels a pull of ours; others cannot be cancelled.
func (p *Puller) Cancel(ctx context.Context, ref string) {
	p.post(ctx, func() {
		for _, one := range p.pulls {
			if one.Ref != ref || one.State.Over() || one.Others {
				continue
			}
			if one.cancel != nil {
				one.cancel()
			} else {
				one.State, one.ended = state.Cancelled, time.Now()
				p.save()
			}
		}
	})
}

// EndAll cancels all our pulls, because the route has become offline.
func (p *Puller) EndAll(ctx context.Context) {
	p.post(ctx, func() {
		for _, one := range p.pulls {
			switch {
			case one.State.Over() || one.Others:
			case one.cancel != nil:
				one.cancel()
			default:
				one.State, one.ended = state.Cancelled, time.Now()
			}
		}
		p.save()
	})
}

// post has f run by the goroutine that owns the pulls.
func (p *Puller) post(ctx context.Context, f func()) {
	select {
	case p.actions <- f:
	case <-ctx.Done():
	}
}

// enqueue adds a pull, or returns the one in progress of the same model.
func (p *Puller) enqueue(ref string) *job {
	for _, one := range p.pulls {
		if !one.State.Over() && !one.Others && runner.Full(one.Ref) == runner.Full(ref) {
			return one
		}
	}
	p.pulls = slices.DeleteFunc(p.pulls, func(one *job) bool { return one.State.Over() && runner.Full(one.Ref) == runner.Full(ref) })
	p.count++
	one := &job{Pull: state.Pull{Ref: ref, State: state.Queued, N: p.count}}
	p.pulls = append(p.pulls, one)
	p.save()
	return one
}

// startQueued starts queued pulls, up to pullsAtOnce.
func (p *Puller) startQueued(ctx context.Context) {
	running := 0
	for _, one := range p.pulls {
		if one.cancel != nil && !one.State.Over() {
			running++
		}
	}
	for _, one := range p.pulls {
		if running == pullsAtOnce {
			return
		}
		if one.State != state.Queued || one.Others {
			continue
		}
		running++
		one.State, one.begun = state.Pulling, time.Now()
		var pull context.Context
		pull, one.cancel = context.WithCancel(ctx)
		p.wg.Go(func() { p.run(ctx, pull, one) })
	}
}

// report sends the pulls to the State and to those that wait for them.
func (p *Puller) report(ctx context.Context) {
	list := make([]state.Pull, len(p.pulls))
	for i, one := range p.pulls {
		list[i] = one.Pull
		for _, c := range one.watchers {
			select {
			case <-c: // replaces one that was not received yet
			default:
			}
			c <- one.Pull
		}
		if one.State.Over() {
			one.watchers = nil
		}
	}
	p.options.Report(ctx, list)
}

// file lists the unfinished pulls, for the next start.
func (p *Puller) file() string { return filepath.Join(p.options.Machine.Paths.State, "pulls.json") }

func (p *Puller) load() (refs []string) {
	data, err := os.ReadFile(p.file())
	if err != nil || json.Unmarshal(data, &refs) != nil {
		return nil
	}
	return refs
}

func (p *Puller) save() {
	refs := []string{}
	for _, one := range p.pulls {
		if !one.State.Over() && !one.Others {
			refs = append(refs, one.Ref)
		}
	}
	if len(refs) == 0 {
		_ = os.Remove(p.file())
		return
	}
	data, err := json.Marshal(refs)
	if err == nil {
		err = config.WriteAtomic(p.file(), data)
	}
	if err != nil {
		p.options.Log.Warn("the pulls cannot be kept for the next start", "error", err)
	}
}
