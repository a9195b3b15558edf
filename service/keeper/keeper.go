// Package keeper keeps Model Runner running while it is needed: it looks, decides
// (policy.go, without side effects), starts, restarts, and reports.
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

// Options are what a keeper works with. The functions are called by its loop, and must
// not wait for it.
type Options struct {
	Machine *machine.Machine
	Log     *slog.Logger

	Busy           func() bool                             // the gateway is answering a request
	OnLook         func(context.Context, localrunner.Look) // called after every look
	Report         func(context.Context, Report)           // called with the runner's state after every event
	Sync           func(context.Context)                   // returns when the State shows all that was reported
	AddressChanged func()                                  // called after settings were pointed to the runner's new address
}

// Keeper watches the runner and keeps it running while it is needed. One goroutine, Run,
// decides; looks and efforts, which take long, run in others, one of each at a time.
type Keeper struct {
	options Options
	mayAct  bool // it may start and stop the runner, not only look

	requests     chan request
	lookNow      chan struct{} // asks for a look, at most one waiting
	needs        chan state.Needs
	endings      chan ending
	wantsSuccess atomic.Bool // a successful request matters: it shows that the runner has recovered
	events       chan struct{}
	looked       chan localrunner.Look
	done         chan outcome

	// Only the loop uses what follows.
	policy       policy
	last         localrunner.Look
	looks        int  // how many
	hasLooked    bool // last is set
	looking      bool
	lookAgain    bool // something happened since the current look began
	effort       *effort
	waiting      []request
	wanted       state.Needs
	probeNext    bool   // after a start: probe the model as soon as the runner answers
	needsPerson  bool   // see the function of this name
	reason       string // why the runner was given up, or which engine could not be cured
	remedy       string
	version      string // of the current run; empty: unknown
	address      string // where a container last answered
	cures        cures
	pause        time.Duration // until the next look
	engine       engine.Engine
	stopWatching func()
	watching     sync.WaitGroup
}

// request asks for the runner to be started, stopped or restarted.
type request struct {
	do      localrunner.Verb // Nothing: until it answers
	person  bool             // a person asked, not a request through the gateway
	settled bool             // done; answered when the State shows it
	ctx     context.Context
	done    chan error
}

// ending is how a request through the gateway ended.
type ending struct {
	model string
	why   gateway.Reason // empty: successfully
}

const (
	// settleEvents is how long events are collected before a look: one end gives several.
	settleEvents = 100 * time.Millisecond
	// firstWatch and lastWatch are how often a runner is asked for its models while
	// Claude Code depends on it: less often the longer nothing happens.
	firstWatch = 30 * time.Second
	lastWatch  = 2 * time.Minute
	// downWatch is the first pause while the runner is down; localrunner.StartWatch while it
	// starts.
	downWatch = time.Second
)

// New makes a keeper that only looks, unless AllowActing is called before Run.
func New(options Options) *Keeper {
	return &Keeper{
		options: options, requests: make(chan request), lookNow: make(chan struct{}, 1), needs: make(chan state.Needs, 1), endings: make(chan ending, 1),
		events: make(chan struct{}, 1), looked: make(chan localrunner.Look), done: make(chan outcome),
		policy: newPolicy(), cures: cures{}, stopWatching: func() {},
	}
}

// AllowActing says whether the keeper may start and stop the runner. Call it before Run.
func (k *Keeper) AllowActing(acts bool) {
	k.mayAct, k.policy.allowed, k.policy.stopped = acts, acts && k.options.Machine.MayStart(), k.options.Machine.StoppedByPerson()
}

// Look asks for a look at the runner, and returns at once.
func (k *Keeper) Look() { wake.Notify(k.lookNow) }

// SetNeeds says what Claude Code needs of the runner from now on.
func (k *Keeper) SetNeeds(w state.Needs) {
	for {
		select {
		case k.needs <- w:
			return
		case <-k.needs: // replaces one that was not received yet
		}
	}
}

// RequestEnded says how a request through the gateway ended. It does not block.
func (k *Keeper) RequestEnded(model string, why gateway.Reason) {
	switch {
	case why != "" && why.Effect().Sick:
	case why == "" && k.wantsSuccess.Load():
	default:
		return
	}
	select {
	case k.endings <- ending{model, why}:
	default: // one is being handled
	}
}

// Do starts, stops or restarts the runner, or with Nothing makes sure that it answers. It
// returns when that is done and the State shows it. person says that a person asked; what
// requests ask for is subject to the configuration and to an earlier stop.
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

// Run keeps the runner until the context ends.
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

// onRequest refuses a request, or queues it.
func (k *Keeper) onRequest(ctx context.Context, a request) {
	refuse := func(kind fault.Kind, why, remedy string) {
		a.done <- &fault.Error{Kind: kind, What: "starting Model Runner", Why: why, Remedy: remedy}
	}
	const byHand = "start it: switchyard runner start"
	switch {
	case !k.mayAct:
		refuse(fault.Refused, "this Switchyard does not control the runner", byHand)
		return
	case a.do == localrunner.Nothing && a.person:
		k.policy.reset() // a switch to local needs the runner, even if it was stopped
		k.options.Machine.RememberStop(false)
	case a.do == localrunner.Nothing && k.policy.stopped:
		refuse(fault.Refused, "you stopped it", byHand)
		return
	case a.do == localrunner.Nothing && !k.policy.allowed:
		refuse(fault.Refused, "it is not running, and start_runner in config.toml forbids starting it", byHand)
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

// decide starts the next effort, if one is due, and returns how long to wait for the next
// look.
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
		return never // an effort looks by itself, and in the cloud nothing depends on the runner
	}
	return k.pause
}

// close ends what the keeper started, including a runner that is its own process.
func (k *Keeper) close() {
	if k.effort != nil {
		k.effort.cancel()
		<-k.done
	}
	if k.looking {
		<-k.looked
	}
	for _, a := range k.waiting {
		a.done <- &fault.Error{Kind: fault.Failed, What: "starting Model Runner", Why: "Switchyard is quitting", Remedy: "start it again: switchyard"}
	}
	k.stopWatching()
	k.watching.Wait()
	if own, ok := k.engine.(interface{ Close() }); ok {
		own.Close()
	}
}
