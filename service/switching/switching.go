// Package switching is the switch transaction: look, prove, record, write, verify.
package switching

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/lean"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// Request asks for a switch.
type Request struct {
	Route     claude.Route
	Model     string          // empty: the chosen one, or the only one
	Context   int             // tokens that Claude Code shall be told; 0: the model's own
	Targets   []claude.Target // empty: all that a plain switch moves
	Folder    string          // where the request was made: its project must not overrule the switch; empty: nowhere
	Force     bool            // without the proofs
	Direct    bool            // past the gateway
	Confirmed bool            // a person agreed that the offline route ends
	Lean      *bool           // sessions started from now on have the lean profile; nil: as it was
}

// Result is what a switch did.
type Result struct {
	Route    claude.Route     `json:"route"`
	Model    string           `json:"model"`
	Context  int              `json:"context"`
	BaseURL  string           `json:"base_url"`
	Targets  []SwitchedTarget `json:"targets"`
	Unproven []string         `json:"unproven"` // with Force: what was not shown to work
}

// SwitchedTarget is what a switch did to one target.
type SwitchedTarget struct {
	claude.Target `json:"-"`
	File          string   `json:"file"`
	Changed       bool     `json:"changed"`
	Kept          []string `json:"kept"`    // variables that somebody else had changed, left as they are
	Waiting       int      `json:"waiting"` // sessions for whose sake variables stay "" until they end
}

// ErrOffline says that leaving the offline route was not confirmed.
var ErrOffline = errors.New("the route is offline")

// Switch moves the targets to a route. The error is an *Error. Every target is
// looked at, and the model proven, before the first one is touched; the result
// names those that were switched even when a later one failed.
func Switch(ctx context.Context, m *machine.Machine, r Request, progress localrunner.Progress) (Result, error) {
	what := "switching to " + string(r.Route)
	if len(r.Targets) == 0 {
		r.Targets = m.Targets()
	}
	if err := checkCloud(m, r); err != nil {
		return Result{}, fault.WrapRefused(what, err)
	}
	for _, t := range r.Targets {
		if err := checkTarget(m, t, r); err != nil {
			return Result{}, fault.WrapRefused(what, err)
		}
	}
	result := Result{Route: r.Route, Unproven: []string{}}
	var to claude.Destination
	if r.Route != claude.Cloud {
		var err error
		if to, result.Unproven, err = destination(ctx, m, r, progress); err != nil {
			return Result{}, fault.Wrap(what, err)
		}
		result.Model, result.Context, result.BaseURL = to.Model, to.Context, to.BaseURL
		if to.Agent, err = agentFor(m, r); err != nil {
			return Result{}, fault.WrapRefused(what, err)
		}
	}
	var failed error
	for _, t := range r.Targets {
		extra := map[string]string{}
		if r.Route != claude.Cloud {
			extra = m.Scope(r.Folder).Neutral()
		}
		out, err := m.Ledger.Switch(ctx, t, r.Route, to, extra)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		result.Targets = append(result.Targets, SwitchedTarget{Target: t, File: t.File, Changed: out.Changed,
			Kept: state.List(out.Kept), Waiting: len(out.Waiting)})
	}
	if failed != nil {
		return result, fault.Wrap(what, failed)
	}
	if r.Lean != nil {
		if err := m.SetLean(*r.Lean); err != nil {
			return result, fault.Wrap("remembering the lean profile", err)
		}
	}
	if r.Route != claude.Cloud && m.Config.Model == "" {
		if err := m.Choose(to.Model); err != nil {
			return result, &fault.Error{Kind: fault.Failed, What: "remembering the model", Why: err.Error(), Remedy: "the switch itself is done; check " + m.Paths.State, Err: err}
		}
	}
	return result, nil
}

// Settle watches the switched targets until no running session can write a
// stale copy over the switch any more, and returns the files that needed repair.
func Settle(ctx context.Context, m *machine.Machine, targets []SwitchedTarget) (repaired []string, err error) {
	for _, t := range targets {
		out, settleErr := m.Ledger.Settle(ctx, t.Target)
		if out.Again > 0 {
			repaired = append(repaired, t.File)
		}
		if settleErr != nil {
			err = errors.Join(err, fault.Wrap("watching "+t.File, settleErr))
		}
	}
	return repaired, err
}

// allowed refuses a switch to the cloud where it is forbidden, or where it ends the
// offline route without a person's word.
func checkCloud(m *machine.Machine, r Request) error {
	if r.Route != claude.Cloud {
		return nil
	}
	for _, t := range r.Targets {
		if lock, locked := m.Locked(t.Project); locked {
			return lock.Refusal()
		}
		if status, err := m.Ledger.Inspect(t); err == nil && status.Route == claude.Offline && !r.Confirmed {
			return &fault.Error{Kind: fault.Refused, Why: "the route is offline, and in the cloud Claude Code talks to Anthropic again", Remedy: "confirm it: switchyard cloud --yes", Err: ErrOffline}
		}
	}
	return nil
}

// look refuses what would not work before anything long begins.
func checkTarget(m *machine.Machine, t claude.Target, r Request) error {
	if t.Project != "" && config.Missing(t.Project) || t.Project == "" && t.Dir != m.ConfigDir() && config.Missing(t.Dir) {
		dir := t.Project
		if dir == "" {
			dir = t.Dir
		}
		return &claude.Refusal{File: dir, Why: "there is no such folder", Remedy: "check the name"}
	}
	if err := m.Ledger.Look(t); err != nil {
		return err
	}
	if r.Route == claude.Cloud {
		return nil
	}
	folder := r.Folder
	if t.Project != "" {
		folder = t.Project
	}
	stronger := m.Scope(folder).Stronger(t)
	if stronger == nil || r.Force && stronger.File != "" && within(stronger.File, folder) {
		return nil
	}
	return stronger
}

// within tells whether a file belongs to a folder's own project settings.
func within(file, folder string) bool {
	return folder != "" && filepath.Dir(file) == filepath.Join(folder, ".claude")
}

// agentFor is the agent file that a switch installs; nil without the lean profile.
func agentFor(m *machine.Machine, r Request) (*claude.Agent, error) {
	wanted := m.Lean()
	if r.Lean != nil {
		wanted = *r.Lean
	}
	if !wanted {
		return nil, nil
	}
	return lean.Agent(m)
}
