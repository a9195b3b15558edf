// Package keeper keeps Model Runner as it is wanted: it looks, decides (policy.go, pure), starts and restarts, and reports.
package keeper

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

// Options are what a keeper works on, and whom it tells. The functions are
// called by its loop, and must not wait for it.
type Options struct {
	Machine *machine.Machine
	Log     *slog.Logger

	Busy           func() bool                             // an answer is on its way through the gateway
	OnLook         func(context.Context, localrunner.Look) // hears of every look
	Report         func(context.Context, Report)           // hears how the runner is
	Sync           func(context.Context)                   // returns when the State shows all that was reported
	AddressChanged func()                                  // the targets were led to another address
}

// Keeper watches the runner and keeps it as it is wanted. Its one goroutine
// decides; looks and efforts, which take long, are done beside it, one of each at
// a time.
type Keeper struct {
	options Options
	mayAct  bool // it may start and stop, and does not only look

	requests     chan request
	lookNow      chan struct{} // for a look, at most one waiting
	needs        chan state.Needs
	endings      chan ending
	wantsSuccess atomic.Bool // a request that is served well is news
	events       chan struct{}
	looked       chan localrunner.Look
	done         chan outcome

	// What follows belongs to the loop.
	policy       policy
	last         localrunner.Look
	looks        int  // counts them
	hasLooked    bool // last is a look
	looking      bool
	lookAgain    bool // something happened since the look began
	effort       *effort
	waiting      []request
	wanted       state.Needs
	probeNext    bool   // it was started: the model is tried as soon as it answers
	needsPerson  bool   // the last start failed for a reason that only a person can remove
	reason       string // why it was given up, or an engine that could not be cured
	remedy       string
	version      string // of the run that is up
	address      string // where a container answered last
	curedAt      map[string]time.Time
	pause        time.Duration // until the next look
	engine       engine.Engine
	stopWatching func()
	watching     sync.WaitGroup
}

// ask is a wish for the runner.
type request struct {
	do      localrunner.Verb // nothing: that it answers
	person  bool             // not merely a request
	settled bool             // it was done
	ctx     context.Context
	done    chan error
}

// ending is how a request ended.
type ending struct {
	model string
	why   gateway.Reason // empty: well
}

const (
	// settleEvents is how long the events of one end are gathered.
	settleEvents = 100 * time.Millisecond
	// firstWatch and lastWatch are how often a runner is asked for its models while
	// Claude Code depends on it: less often the longer nothing happens.
	firstWatch = 30 * time.Second
	lastWatch  = 2 * time.Minute
	// downWatch and StartWatch are the first pauses while it is down, and while it starts.
	downWatch = time.Second
)

func New(options Options) *Keeper {
	return &Keeper{
		options: options, requests: make(chan request), lookNow: make(chan struct{}, 1), needs: make(chan state.Needs, 1), endings: make(chan ending, 1),
		events: make(chan struct{}, 1), looked: make(chan localrunner.Look), done: make(chan outcome),
		policy: newPolicy(), curedAt: map[string]time.Time{}, stopWatching: func() {},
	}
}

// Act says, before it runs, whether the keeper may start and stop.
func (k *Keeper) AllowActing(acts bool) {
	k.mayAct, k.policy.allowed, k.policy.stopped = acts, acts && k.options.Machine.MayStart(), k.options.Machine.StoppedByPerson()
}

// Look asks for a look, without waiting for it.
func (k *Keeper) Look() { wake.Notify(k.lookNow) }

// Want tells what Claude Code needs from now on.
func (k *Keeper) SetNeeds(w state.Needs) {
	for {
		select {
		case k.needs <- w:
			return
		case <-k.needs: // an older wish that was not taken yet
		}
	}
}

// Served hears how a request ended.
func (k *Keeper) RequestEnded(model string, why gateway.Reason) {
	switch {
	case why == gateway.RunnerDown || why == gateway.EngineFailed || why == gateway.Broken:
	case why == "" && k.wantsSuccess.Load():
	default:
		return
	}
	select {
	case k.endings <- ending{model, why}:
	default: // one is being looked into
	}
}

// Do asks for something and waits until it is done.
func (k *Keeper) Do(ctx context.Context, v localrunner.Verb, person bool) error {
	a := request{do: v, person: person, ctx: ctx, done: make(chan error, 1)}
	select {
	case k.requests <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) Run(ctx context.Context) {
	defer k.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.events:
			if settled == nil {
				settled = time.After(settleEvents)
			}
			continue
		case <-settled:
			settled = nil
			k.pause = 0
			k.look(ctx)
		case <-k.lookNow:
			k.pause = 0
			k.look(ctx)
		case w := <-k.needs:
			if w == k.wanted {
				continue
			}
			if w.Model != k.wanted.Model {
				k.reason, k.remedy = "", ""
			}
			k.wanted, k.pause = w, 0
			k.policy.needed = w.Route
			k.look(ctx)
		case l := <-k.looked:
			k.onLook(ctx, l)
		case a := <-k.requests:
			k.onRequest(ctx, a)
		case r := <-k.endings:
			k.checkEngine(ctx, r)
		case o := <-k.done:
			k.onEffortDone(ctx, o)
		case <-timer.C:
			if !k.looking {
				k.look(ctx)
			}
		}
		due := k.decide(ctx)
		k.report(ctx)
		k.reply(ctx)
		timer.Reset(due)
	}
}

// asked takes a wish.
func (k *Keeper) onRequest(ctx context.Context, a request) {
	refuse := func(kind fault.Kind, why, remedy string) {
		a.done <- &fault.Error{Kind: kind, What: "starting Model Runner", Why: why, Remedy: remedy}
	}
	const byHand = "start it: switchyard runner start"
	switch {
	case !k.mayAct:
		refuse(fault.Refused, "this Switchyard only looks", byHand)
		return
	case a.do == localrunner.Nothing && a.person:
		k.policy.reset() // a switch: whoever wants the route wants the runner
		k.options.Machine.RememberStop(false)
	case a.do == localrunner.Nothing && k.policy.stopped:
		refuse(fault.Refused, "you stopped it", byHand)
		return
	case a.do == localrunner.Nothing && !k.policy.allowed:
		refuse(fault.Refused, "it does not run, and start_runner in config.toml forbids to start it", byHand)
		return
	case a.do == localrunner.Nothing && k.policy.gaveUp:
		refuse(fault.Failed, k.reason, k.remedy)
		return
	case a.do == localrunner.Stop:
		k.policy.stopped = true
		k.options.Machine.RememberStop(true)
	case a.do != localrunner.Nothing:
		k.policy.reset()
		k.options.Machine.RememberStop(false)
	}
	if a.do == localrunner.Nothing {
		k.policy.requested = true
	} else {
		k.reason, k.remedy, k.needsPerson = "", "", false
	}
	if k.effort != nil && a.do != localrunner.Nothing && a.do != k.effort.do {
		k.effort.superseded = true
		k.effort.cancel()
	}
	k.waiting = append(k.waiting, a)
	k.look(ctx)
}

// decide begins what is to be done and returns when to look again.
func (k *Keeper) decide(ctx context.Context) time.Duration {
	const never = 24 * time.Hour
	if !k.hasLooked {
		return never
	}
	if k.effort == nil && !k.looking {
		for _, a := range k.waiting {
			if a.do != localrunner.Nothing {
				k.begin(ctx, a.do)
				return never
			}
		}
		now := time.Now()
		if k.policy.gaveUp && k.reason == "" {
			k.giveUp(ctx, "")
		}
		do, at := k.policy.decide(now, k.last)
		if do == localrunner.Start && k.policy.endedUnasked || do == localrunner.Restart {
			if k.policy.crash(now); k.policy.gaveUp {
				do = localrunner.Nothing
				k.giveUp(ctx, "")
			}
		}
		switch {
		case do != localrunner.Nothing:
			k.begin(ctx, do)
			return never
		case !at.IsZero():
			return max(at.Sub(now), 0)
		}
	}
	if k.effort != nil && k.effort.do != localrunner.Nothing || !k.wanted.Route && len(k.waiting) == 0 {
		return never // the effort looks itself; and in the cloud nothing depends on the runner: it is left alone
	}
	return k.pause
}

// close ends what the keeper started; its own runner too.
func (k *Keeper) close() {
	if k.effort != nil {
		k.effort.cancel()
		<-k.done
	}
	if k.looking {
		<-k.looked
	}
	for _, a := range k.waiting {
		a.done <- &fault.Error{Kind: fault.Failed, What: "starting Model Runner", Why: "Switchyard is ending", Remedy: "start it again: switchyard"}
	}
	k.stopWatching()
	k.watching.Wait()
	if own, ok := k.engine.(interface{ Close() }); ok {
		own.Close()
	}
}
