// Package switching switches Claude Code between routes: it checks the settings, proves that
// the model works, and only then writes.
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
	Model     string          // empty: the chosen one, or the only one there is
	Context   int             // tokens that Claude Code is told; 0: the model's own
	Targets   []claude.Target // empty: machine.Targets
	Folder    string          // the current folder, whose project must not overrule the switch; empty: none
	Force     bool            // skip the proofs
	Direct    bool            // to the runner itself, not the gateway
	Confirmed bool            // the user agreed to leave the offline route
	Lean      *bool           // whether new sessions get the lean profile; nil: unchanged
}

// Result is what a switch did.
type Result struct {
	Route    claude.Route     `json:"route"`
	Model    string           `json:"model"`
	Context  int              `json:"context"`
	BaseURL  string           `json:"base_url"`
	Targets  []SwitchedTarget `json:"targets"`
	Unproven []string         `json:"unproven"` // the proofs that were skipped (Force)
}

// SwitchedTarget is what a switch did to one target.
type SwitchedTarget struct {
	claude.Target `json:"-"`
	File          string   `json:"file"`
	Changed       bool     `json:"changed"`
	Kept          []string `json:"kept"`    // variables that were changed after an earlier switch, and left as they are
	Waiting       int      `json:"waiting"` // sessions that must end before variables set to "" for them are removed
}

// ErrOffline means that leaving the offline route has to be confirmed.
var ErrOffline = errors.New("the route is offline")

// Switch switches the targets to a route. All targets are checked, and the model is proven,
// before the first one is changed. If a later one fails, the result still names those that
// were switched. The error is a *fault.Error.
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

// Settle watches the switched targets until no running session can overwrite the switch with
// an old copy any more. It returns the files that it had to repair.
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

// checkCloud refuses a switch to the cloud where that is forbidden, or where it would leave the
// offline route unconfirmed.
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

// checkTarget refuses a target that cannot be switched.
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

// within reports whether a file is one of the project settings in a folder.
func within(file, folder string) bool {
	return folder != "" && filepath.Dir(file) == filepath.Join(folder, ".claude")
}

// agentFor is the agent file that a switch installs; nil: without the lean profile.
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
