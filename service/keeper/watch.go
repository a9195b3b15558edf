package keeper

import (
	"context"
	"reflect"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/wake"
)

// look begins a look, or has the one that is under way repeated.
func (k *Keeper) look(ctx context.Context) {
	if k.looking {
		k.again = true
		return
	}
	k.looking = true
	e, version := k.watched, k.version
	// Only what was not found is looked for again: an engine that hesitates must not
	// make another one of it.
	if k.known && k.effort == nil && (k.last.Seen.State == engine.Absent || k.last.Seen.State == engine.Unknown && k.last.Seen.Problem == nil) {
		e = nil
	}
	old := k.watched
	go func() { k.looked <- localrunner.LookWith(ctx, k.options.Machine, e, old, k.acts, version) }()
}

// took takes a look over.
func (k *Keeper) took(ctx context.Context, l localrunner.Look) {
	k.looking = false
	if ctx.Err() != nil {
		return
	}
	if l.Engine != k.watched {
		k.rewatch(ctx, l.Engine)
	}
	now := time.Now()
	l.Busy = k.options.Busy()
	before, changed := k.last, !k.known || !reflect.DeepEqual(k.last.Describe(k.last.Status), l.Describe(l.Status))
	k.last, k.known = l, true
	k.looks++
	k.care.see(now, l, k.effort != nil && k.effort.do != localrunner.Nothing)
	if before.Seen.Run != l.Seen.Run || l.Status.Err != nil {
		k.version = ""
	}
	if l.MayAnswer() && l.Status.Err == nil {
		k.version = l.Status.Version
		if before.Seen.Run != l.Seen.Run {
			k.reason, k.remedy = "", ""
		}
		if k.tryNext && k.effort == nil && k.wanted.Model != "" {
			k.tryNext = false
			k.try(ctx, k.wanted.Model, false)
		}
	}
	k.moved(ctx, l)
	k.options.Looked(ctx, l)
	k.backOff(l, changed)
	if k.again {
		k.again = false
		k.look(ctx)
	}
}

// moved has the targets follow a container that answers at another address than before.
func (k *Keeper) moved(ctx context.Context, l localrunner.Look) {
	if l.Engine.Kind() != engine.Container || !l.MayAnswer() || l.Status.Err != nil {
		return
	}
	address := l.Endpoint().BaseURL()
	if k.acts && k.address != "" && k.address != address {
		k.options.Machine.FollowRunner(ctx, k.options.Log, k.address, address)
		k.options.Moved()
	}
	k.address = address
}

// backOff sets when to look again while Claude Code depends on the runner.
func (k *Keeper) backOff(l localrunner.Look, changed bool) {
	first, last := firstWatch, lastWatch
	switch {
	case l.Seen.State == engine.Stopped || l.Seen.State == engine.Absent: // its engine tells when that changes
	case l.MayAnswer() && l.Status.Err == nil:
		if l.Engine.Kind() != engine.Container && l.Engine.Kind() != engine.Process || !l.Seen.Controlled {
			last = firstWatch // no event tells of its end
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

// rewatch follows the events of another engine.
func (k *Keeper) rewatch(ctx context.Context, e engine.Engine) {
	k.unwatch()
	if own, ok := k.watched.(interface{ Close() }); ok {
		own.Close()
	}
	var watching context.Context
	watching, k.unwatch = context.WithCancel(ctx)
	k.watched = e
	k.watches.Go(func() { e.Watch(watching, func() { wake.Notify(k.changed) }) })
}
