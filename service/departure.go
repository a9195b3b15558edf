package service

import (
	"context"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/words"
)

// CheckDeparture runs the proofs and checks what would go wrong without a network.
// The findings are in the State.
func (s *Supervisor) CheckDeparture(ctx context.Context) {
	s.checkDeparture(ctx, doctor.Departure{Model: s.State().Model})
}

func (s *Supervisor) checkDeparture(ctx context.Context, r doctor.Departure) {
	t := s.startTask(ctx, checking)
	r.Failed = switching.Check(ctx, s.machine, r.Model, r.Context, false, localrunner.Progress{})
	s.reportDeparture(ctx, ctx, &r, true)
	t.end(ctx)
}

var checking = words.Key("Checking for the departure…")

// reportDeparture puts into the State what would go wrong without a network. With
// notify, a notification tells of it; one is the context of the command it is part of.
func (s *Supervisor) reportDeparture(ctx, one context.Context, r *doctor.Departure, notify bool) {
	t := s.startTask(ctx, checking)
	found := doctor.CheckDeparture(one, s.machine, r)
	t.end(ctx)
	if one.Err() != nil {
		return // superseded by another command
	}
	d := state.Departure{At: time.Now().Truncate(time.Second), Ready: state.Ready(found, r.Failed), Findings: []state.Finding{}}
	if r.Failed != nil {
		d.Failed, d.Remedy = fault.Explain(r.Failed)
	}
	for _, f := range found {
		f.Cure = nil // a State is compared, and functions cannot be
		d.Findings = append(d.Findings, f)
	}
	s.mu.Lock()
	s.lastCheck, s.lastFindings = r, found
	s.mu.Unlock()
	s.update(ctx, func(k *known) {
		if d.N = k.departure.N; notify {
			d.N++
		}
		k.departure = d
	})
}

// CureDeparture applies the fix of a finding of the last check, then checks again.
// An unknown code does nothing.
func (s *Supervisor) CureDeparture(ctx context.Context, code string) {
	s.mu.Lock()
	r, cures := s.lastCheck, s.lastFindings
	s.mu.Unlock()
	i := slices.IndexFunc(cures, func(f state.Finding) bool { return f.Code == code && f.Cure != nil })
	if i < 0 {
		return
	}
	t := s.startTask(ctx, words.T("Doing it: %s", cures[i].Command))
	err := cures[i].Fix(ctx)
	t.end(ctx)
	if err != nil {
		s.failed(ctx, words.Key("Could not do it"), err)
		return
	}
	s.checkDeparture(ctx, *r)
}
