package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/words"
)

// departures are the checks before a departure.
type departures struct {
	*hub

	mu      sync.Mutex
	checked *doctor.Departure // the last one; nil: none yet
	cures   []state.Finding   // what it found, each with what cures it
}

// CheckDeparture runs the proofs and checks what would go wrong without a network.
// The findings are in the State.
func (d *departures) CheckDeparture(ctx context.Context) {
	d.checkDeparture(ctx, doctor.Departure{Model: d.State().Model})
}

func (d *departures) checkDeparture(ctx context.Context, r doctor.Departure) {
	t := d.startTask(ctx, checking)
	r.Failed = switching.Check(ctx, d.machine, r.Model, r.Context, false, localrunner.Progress{})
	d.reportDeparture(ctx, ctx, &r, true)
	t.end(ctx)
}

var checking = words.Key("Checking for the departure…")

// reportDeparture puts into the State what would go wrong without a network. With
// notify, a notification says so; one is the context of the command it is part of.
func (d *departures) reportDeparture(ctx, one context.Context, r *doctor.Departure, notify bool) {
	t := d.startTask(ctx, checking)
	found := doctor.CheckDeparture(one, d.machine, r)
	t.end(ctx)
	if one.Err() != nil {
		return // the user wants something else
	}
	result := state.Departure{At: time.Now().Truncate(time.Second), Ready: state.Ready(found, r.Failed), Findings: []state.Finding{}}
	if r.Failed != nil {
		result.Failed, result.Remedy = fault.Explain(r.Failed)
	}
	for _, f := range found {
		f.Cure = nil // a State is compared, and functions cannot be
		result.Findings = append(result.Findings, f)
	}
	d.mu.Lock()
	d.checked, d.cures = r, found
	d.mu.Unlock()
	d.update(ctx, func(k *known) {
		if result.N = k.leaving.N; notify {
			result.N++
		}
		k.leaving = result
	})
}

// CureDeparture applies the fix of a finding of the last check, then checks again.
// An unknown code does nothing.
func (d *departures) CureDeparture(ctx context.Context, code string) {
	d.mu.Lock()
	r, cures := d.checked, d.cures
	d.mu.Unlock()
	i := slices.IndexFunc(cures, func(f state.Finding) bool { return f.Code == code && f.Cure != nil })
	if i < 0 {
		return
	}
	t := d.startTask(ctx, words.T("Doing it: %s", cures[i].Command))
	err := cures[i].Fix(ctx)
	t.end(ctx)
	if err != nil {
		d.failed(ctx, words.Key("Could not do it"), err)
		return
	}
	d.checkDeparture(ctx, *r)
}
