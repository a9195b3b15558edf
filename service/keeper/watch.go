package keeper

import (
	"context"
	"reflect"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/wake"
)

// look starts a look, or has the current one repeated.
func (k *Keeper) look(ctx context.Context) {
	if k.looking {
		k.lookAgain = true
		return
	}
	k.looking = true
	e, version := k.engine, k.version
	// The engine is searched for again only if it is gone: one that is slow to answer must
	// not be replaced by another.
	if k.hasLooked && k.effort == nil && (k.last.Seen.State == engine.Absent || k.last.Seen.State == engine.Unknown && k.last.Seen.Problem == nil) {
		e = nil
	}
	old := k.engine
	go func() { k.looked <- localrunner.LookWith(ctx, k.options.Machine, e, old, k.mayAct, version) }()
}

// onLook stores a look, and reacts to what changed.
func (k *Keeper) onLook(ctx context.Context, l localrunner.Look) {
	k.looking = false
	if ctx.Err() != nil {
		return
	}
	if l.Engine != k.engine {
		k.rewatch(ctx, l.Engine)
	}
	now := time.Now()
	l.Busy = k.options.Busy()
	before, changed := k.last, !k.hasLooked || !reflect.DeepEqual(k.last.Describe(k.last.Status), l.Describe(l.Status))
	k.last, k.hasLooked = l, true
	k.looks++
	k.policy.observe(now, l, k.effort != nil && k.effort.do != localrunner.Nothing)
	if before.Seen.Run != l.Seen.Run || l.Status.Err != nil {
		k.version = ""
	}
	if l.MayAnswer() && l.Status.Err == nil {
		k.version = l.Status.Version
		if before.Seen.Run != l.Seen.Run {
			k.reason, k.remedy = "", ""
		}
		if k.probeNext && k.effort == nil && k.wanted.Model != "" {
			k.probeNext = false
			k.probe(ctx, k.wanted.Model, false)
		}
	}
	k.followAddress(ctx, l)
	k.options.OnLook(ctx, l)
	k.backOff(l, changed)
	if k.lookAgain {
		k.lookAgain = false
		k.look(ctx)
	}
}

// followAddress points Claude Code to a container that moved to another address.
func (k *Keeper) followAddress(ctx context.Context, l localrunner.Look) {
	if l.Engine.Kind() != engine.Container || !l.MayAnswer() || l.Status.Err != nil {
		return
	}
	address := l.Endpoint().BaseURL()
	if k.mayAct && k.address != "" && k.address != address {
		k.options.Machine.FollowRunner(ctx, k.options.Log, k.address, address)
		k.options.AddressChanged()
	}
	k.address = address
}

// backOff sets the pause until the next look, while Claude Code depends on the runner.
func (k *Keeper) backOff(l localrunner.Look, changed bool) {
	first, last := firstWatch, lastWatch
	switch {
	case l.Seen.State == engine.Stopped || l.Seen.State == engine.Absent: // its engine reports when that changes
	case l.MayAnswer() && l.Status.Err == nil:
		if l.Engine.Kind() != engine.Container && l.Engine.Kind() != engine.Process || !l.Seen.Controlled {
			last = firstWatch // no event reports its end
		}
	case k.effort != nil || l.Seen.State == engine.Running && !l.Seen.Since.IsZero() && time.Since(l.Seen.Since) < startGrace:
		first, last = localrunner.StartWatch, time.Second
	default:
		first, last = downWatch, firstWatch
	}
	if changed || k.pause == 0 || k.pause > last {
		k.pause = first
	} else {
		k.pause = min(2*k.pause, last)
	}
}

// rewatch replaces the engine, and watches its events.
func (k *Keeper) rewatch(ctx context.Context, e engine.Engine) {
	k.stopWatching()
	if own, ok := k.engine.(interface{ Close() }); ok {
		own.Close()
	}
	var watching context.Context
	watching, k.stopWatching = context.WithCancel(ctx)
	k.engine = e
	k.watching.Go(func() { e.Watch(watching, func() { wake.Notify(k.events) }) })
}
