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

// ask is a wish for the runner.
type ask struct {
	do      localrunner.Verb // nothing: that it answers
	person  bool             // not merely a request
	settled bool             // it was done
	ctx     context.Context
	done    chan error
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

// ending is how a request ended.
type ending struct {
	model string
	why   gateway.Reason // empty: well
}

// close ends what the keeper started; its own runner too. There is at most one effort and
// one look, and each ends when its outcome is taken.
func (k *Keeper) close() {
	if k.effort != nil {
		k.effort.end()
		<-k.done
	}
	if k.looking {
		<-k.looked
	}
	for _, a := range k.waiting {
		a.done <- &fault.Error{Kind: fault.Failed, What: "starting Model Runner", Why: "Switchyard is ending", Remedy: "start it again: switchyard"}
	}
	k.unwatch()
	k.watches.Wait()
	if own, ok := k.watched.(interface{ Close() }); ok {
		own.Close()
	}
}

// asked takes a wish.
func (k *Keeper) asked(ctx context.Context, a ask) {
	refuse := func(kind fault.Kind, why, remedy string) {
		a.done <- &fault.Error{Kind: kind, What: "starting Model Runner", Why: why, Remedy: remedy}
	}
	const byHand = "start it: switchyard runner start"
	switch {
	case !k.acts:
		refuse(fault.Refused, "this Switchyard only looks", byHand)
		return
	case a.do == localrunner.Nothing && a.person:
		k.care.forgive() // a switch: whoever wants the route wants the runner
		k.options.Machine.RememberStop(false)
	case a.do == localrunner.Nothing && k.care.stopped:
		refuse(fault.Refused, "you stopped it", byHand)
		return
	case a.do == localrunner.Nothing && !k.care.allowed:
		refuse(fault.Refused, "it does not run, and start_runner in config.toml forbids to start it", byHand)
		return
	case a.do == localrunner.Nothing && k.care.gaveUp:
		refuse(fault.Failed, k.reason, k.remedy)
		return
	case a.do == localrunner.Stop:
		k.care.stopped = true
		k.options.Machine.RememberStop(true)
	case a.do != localrunner.Nothing:
		k.care.forgive()
		k.options.Machine.RememberStop(false)
	}
	if a.do == localrunner.Nothing {
		k.care.asked = true
	} else {
		k.reason, k.remedy, k.stuck = "", "", false
	}
	if k.effort != nil && a.do != localrunner.Nothing && a.do != k.effort.do {
		k.effort.left = true
		k.effort.end()
	}
	k.waiting = append(k.waiting, a)
	k.look(ctx)
}

// decide begins what is to be done and returns when to look again.
func (k *Keeper) decide(ctx context.Context) time.Duration {
	const never = 24 * time.Hour
	if !k.known {
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
		if k.care.gaveUp && k.reason == "" {
			k.giveUp(ctx, "")
		}
		do, at := k.care.decide(now, k.last)
		if do == localrunner.Start && k.care.lost || do == localrunner.Restart {
			if k.care.crash(now); k.care.gaveUp {
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

// Keeper watches the runner and keeps it as it is wanted. Its one goroutine
// decides; looks and efforts, which take long, are done beside it, one of each at
// a time.
type Keeper struct {
	options Options
	acts    bool // it may start and stop, and does not only look

	asks    chan ask
	wishes  chan struct{} // for a look, at most one waiting
	wants   chan state.Needs
	serves  chan ending
	ailing  atomic.Bool // a request that is served well is news
	changed chan struct{}
	looked  chan localrunner.Look
	done    chan outcome

	// What follows belongs to the loop.
	care    policy
	last    localrunner.Look
	looks   int  // counts them
	known   bool // last is a look
	looking bool
	again   bool // something happened since the look began
	effort  *effort
	waiting []ask
	wanted  state.Needs
	tryNext bool   // it was started: the model is tried as soon as it answers
	stuck   bool   // the last start failed for a reason that only a person can remove
	reason  string // why it was given up, or an engine that could not be cured
	remedy  string
	version string // of the run that is up
	address string // where a container answered last
	cured   map[string]time.Time
	pause   time.Duration // until the next look
	watched engine.Engine
	unwatch func()
	watches sync.WaitGroup
}

// Options are what a keeper works on, and whom it tells. The functions are
// called by its loop, and must not wait for it.
type Options struct {
	Machine *machine.Machine
	Log     *slog.Logger

	Busy   func() bool                             // an answer is on its way through the gateway
	Looked func(context.Context, localrunner.Look) // hears of every look
	Report func(context.Context, Report)           // hears how the runner is
	Shown  func(context.Context)                   // returns when the State shows all that was reported
	Moved  func()                                  // the targets were led to another address
}

func New(options Options) *Keeper {
	return &Keeper{
		options: options, asks: make(chan ask), wishes: make(chan struct{}, 1), wants: make(chan state.Needs, 1), serves: make(chan ending, 1),
		changed: make(chan struct{}, 1), looked: make(chan localrunner.Look), done: make(chan outcome),
		care: newCare(), cured: map[string]time.Time{}, unwatch: func() {},
	}
}

// Act says, before it runs, whether the keeper may start and stop.
func (k *Keeper) Act(acts bool) {
	k.acts, k.care.allowed, k.care.stopped = acts, acts && k.options.Machine.MayStart(), k.options.Machine.StoppedByPerson()
}

// Look asks for a look, without waiting for it.
func (k *Keeper) Look() { wake.Notify(k.wishes) }

// Want tells what Claude Code needs from now on.
func (k *Keeper) Want(w state.Needs) {
	for {
		select {
		case k.wants <- w:
			return
		case <-k.wants: // an older wish that was not taken yet
		}
	}
}

// Served hears how a request ended.
func (k *Keeper) Served(model string, why gateway.Reason) {
	switch {
	case why == gateway.RunnerDown || why == gateway.EngineFailed || why == gateway.Broken:
	case why == "" && k.ailing.Load():
	default:
		return
	}
	select {
	case k.serves <- ending{model, why}:
	default: // one is being looked into
	}
}

// Do asks for something and waits until it is done.
func (k *Keeper) Do(ctx context.Context, v localrunner.Verb, person bool) error {
	a := ask{do: v, person: person, ctx: ctx, done: make(chan error, 1)}
	select {
	case k.asks <- a:
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
		case <-k.changed:
			if settled == nil {
				settled = time.After(settleEvents)
			}
			continue
		case <-settled:
			settled = nil
			k.pause = 0
			k.look(ctx)
		case <-k.wishes:
			k.pause = 0
			k.look(ctx)
		case w := <-k.wants:
			if w == k.wanted {
				continue
			}
			if w.Model != k.wanted.Model {
				k.reason, k.remedy = "", ""
			}
			k.wanted, k.pause = w, 0
			k.care.wanted = w.Route
			k.look(ctx)
		case l := <-k.looked:
			k.took(ctx, l)
		case a := <-k.asks:
			k.asked(ctx, a)
		case r := <-k.serves:
			k.suspect(ctx, r)
		case o := <-k.done:
			k.ended(ctx, o)
		case <-timer.C:
			if !k.looking {
				k.look(ctx)
			}
		}
		due := k.decide(ctx)
		k.tell(ctx)
		k.reply(ctx)
		timer.Reset(due)
	}
}
