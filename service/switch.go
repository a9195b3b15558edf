package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
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

// Progress hears how far a long command is; either may be nil.
type Progress struct {
	Begin func(name string)
	Done  func(runner.Proof)
	Warn  func(Warning) // of what may go wrong; it is tried all the same
}

// Switch moves the targets to a route. The error is an *Error. Every target is
// looked at, and the model proven, before the first one is touched; the result
// names those that were switched even when a later one failed.
func (y *Yard) Switch(ctx context.Context, r Request, progress Progress) (Result, error) {
	what := "switching to " + string(r.Route)
	if len(r.Targets) == 0 {
		r.Targets = y.Targets()
	}
	if err := y.allowed(r); err != nil {
		return Result{}, refused(what, err)
	}
	for _, t := range r.Targets {
		if err := y.look(t, r); err != nil {
			return Result{}, refused(what, err)
		}
	}
	result := Result{Route: r.Route, Unproven: []string{}}
	var to claude.Destination
	if r.Route != claude.Cloud {
		var err error
		if to, result.Unproven, err = y.destination(ctx, r, progress); err != nil {
			return Result{}, commandError(what, err)
		}
		result.Model, result.Context, result.BaseURL = to.Model, to.Context, to.BaseURL
		if to.Agent, err = y.agentFor(r); err != nil {
			return Result{}, refused(what, err)
		}
	}
	var failed error
	for _, t := range r.Targets {
		extra := map[string]string{}
		if r.Route != claude.Cloud {
			extra = y.Scope(r.Folder).Neutral()
		}
		out, err := y.ledger.Switch(ctx, t, r.Route, to, extra)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		result.Targets = append(result.Targets, SwitchedTarget{Target: t, File: t.File, Changed: out.Changed,
			Kept: list(out.Kept), Waiting: len(out.Waiting)})
	}
	if failed != nil {
		return result, commandError(what, failed)
	}
	if r.Lean != nil {
		if err := y.SetLean(*r.Lean); err != nil {
			return result, commandError("remembering the lean profile", err)
		}
	}
	if r.Route != claude.Cloud && y.Config.Model == "" {
		if err := y.Choose(to.Model); err != nil {
			return result, &Error{Kind: Failed, What: "remembering the model", Why: err.Error(), Remedy: "the switch itself is done; check " + y.Paths.State, Err: err}
		}
	}
	return result, nil
}

// look refuses what would not work before anything long begins.
func (y *Yard) look(t claude.Target, r Request) error {
	if t.Project != "" && missing(t.Project) || t.Project == "" && t.Dir != y.configDir() && missing(t.Dir) {
		dir := t.Project
		if dir == "" {
			dir = t.Dir
		}
		return &claude.Refusal{File: dir, Why: "there is no such folder", Remedy: "check the name"}
	}
	if err := y.ledger.Look(t); err != nil {
		return err
	}
	if r.Route == claude.Cloud {
		return nil
	}
	folder := r.Folder
	if t.Project != "" {
		folder = t.Project
	}
	stronger := y.Scope(folder).Stronger(t)
	if stronger == nil || r.Force && stronger.File != "" && within(stronger.File, folder) {
		return nil
	}
	return stronger
}

// within tells whether a file belongs to a folder's own project settings.
func within(file, folder string) bool {
	return folder != "" && filepath.Dir(file) == filepath.Join(folder, ".claude")
}

// dummyToken keeps Claude Code from sending its own login to the runner, which checks no token.
const dummyToken = "switchyard"

// destination finds the runner and the model, and proves that they work.
func (y *Yard) destination(ctx context.Context, r Request, progress Progress) (claude.Destination, []string, error) {
	f, err := y.find(ctx)
	if err != nil {
		return claude.Destination{}, nil, err
	}
	if !r.Force {
		if f, err = y.bringUp(ctx, f, progress); err != nil {
			return claude.Destination{}, nil, err
		}
	}
	found := f.endpoint()
	to := claude.Destination{BaseURL: found.BaseURL(), Token: dummyToken, Direct: found.BaseURL()}
	at, served := y.gateway(ctx)
	switch {
	case r.Direct:
		to.Way = claude.Direct
	case served:
		to.BaseURL, to.Token, to.Way = at.URL, at.Token, claude.Gateway
	}
	if to.BaseURL == "" {
		return to, nil, &Error{Kind: Unreachable, Why: "Model Runner answers on " + found.Socket + " only, which Claude Code cannot use",
			Remedy: socketRemedy(f)}
	}
	client := runner.NewClient(found)
	defer client.Close()
	if to.Way == claude.Gateway {
		client.Through(to.BaseURL, to.Token)
	}
	name := r.Model
	if name == "" {
		name = y.chosen()
	}
	if r.Force {
		return y.unproven(ctx, client, to, name, r.Context)
	}
	before := y.beforeLoad(ctx, client, name)
	if w, ok := before.warning(); ok && progress.Warn != nil {
		progress.Warn(w)
	}
	model, tag, err := y.prove(ctx, client, name, r.Context, progress)
	if runner.OutOfMemory(err) && y.unloadOthers(ctx, client, tag) {
		before.free = -1 // what is measured now is not this load alone
		model, tag, err = y.prove(ctx, client, name, r.Context, progress)
	}
	if err != nil {
		return to, nil, before.explain(err)
	}
	y.learnTook(ctx, before)
	y.learn(model.ID, func(l *learned) { l.Used = time.Now() })
	to.Model, to.Context = tag, model.Context
	return to, []string{}, nil
}

// prove runs the proofs and remembers what they show.
func (y *Yard) prove(ctx context.Context, client *runner.Client, name string, wish int, progress Progress) (runner.Model, string, error) {
	var proofs []runner.Proof
	model, tag, err := client.Prove(ctx, name, wish, progress.Begin, func(p runner.Proof) {
		proofs = append(proofs, p)
		if progress.Done != nil {
			progress.Done(p)
		}
	})
	y.learnFrom(model, proofs)
	return model, tag, err
}

// unloadOthers makes room for a model that does not fit beside those that are
// loaded. Model Runner itself does not (docker/model-runner#1014). It tells whether
// anything was unloaded.
func (y *Yard) unloadOthers(ctx context.Context, client *runner.Client, tag string) bool {
	loaded, err := client.Running(ctx)
	if err != nil {
		return false
	}
	freed := false
	for _, l := range loaded {
		if runner.Full(l.Model) == tag || l.InUse {
			continue
		}
		n, err := client.Unload(ctx, l.Model)
		freed = freed || err == nil && n > 0
	}
	return freed
}

// socketRemedy says what to do about a runner that has no TCP port.
func socketRemedy(f found) string {
	remedy := "start Switchyard (switchyard), whose gateway reaches it"
	if f.engine.Kind() == engine.Desktop {
		remedy += fmt.Sprintf(", or open its TCP port: docker desktop enable model-runner --tcp %d", engine.Port)
	}
	return remedy
}

// unproven takes what can be learnt at once and names what was not shown.
func (y *Yard) unproven(ctx context.Context, client *runner.Client, to claude.Destination, name string, wish int) (claude.Destination, []string, error) {
	unproven := []string{"message", "system_message", "tool_call"}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	models, err := client.Models(ctx)
	if err != nil {
		if to.Model = name; name == "" {
			return to, nil, &Error{Kind: Refused, Why: "no model was named, and Model Runner at " + client.Endpoint().String() + " cannot be asked which it has",
				Remedy: "name the model, or start Model Runner", Err: err}
		}
		to.Context = wish
		return to, append([]string{"runner", "model", "context"}, unproven...), nil
	}
	model, tag, err := runner.Pick(models, name)
	if err != nil {
		if to.Model = name; name == "" {
			return to, nil, err
		}
		to.Context = wish
		return to, append([]string{"model", "context"}, unproven...), nil
	}
	to.Model, to.Context = tag, model.Context
	if wish > 0 {
		to.Context = wish
	}
	return to, append([]string{"context"}, unproven...), nil
}

// Settle watches the switched targets until no running session can write a
// stale copy over the switch any more, and returns the files that needed repair.
func (y *Yard) Settle(ctx context.Context, targets []SwitchedTarget) (repaired []string, err error) {
	for _, t := range targets {
		out, settleErr := y.ledger.Settle(ctx, t.Target)
		if out.Again > 0 {
			repaired = append(repaired, t.File)
		}
		if settleErr != nil {
			err = errors.Join(err, commandError("watching "+t.File, settleErr))
		}
	}
	return repaired, err
}

// Check runs the proofs for a model, the chosen one when name is empty: through
// the gateway where one runs and direct does not say otherwise.
func (y *Yard) Check(ctx context.Context, name string, wish int, direct bool, progress Progress) error {
	f, err := y.find(ctx)
	if err != nil {
		return err
	}
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	if at, served := y.gateway(ctx); served && !direct {
		client.Through(at.URL, at.Token)
	}
	if name == "" {
		name = y.chosen()
	}
	if _, _, err := y.prove(ctx, client, name, wish, progress); err != nil {
		return commandError("checking", err)
	}
	return nil
}

// refused words a reason for which nothing was touched.
func refused(what string, err error) error {
	var e *Error
	if errors.As(commandError(what, err), &e) && e.Kind == Failed {
		e.Kind = Refused
	}
	return e
}

// commandError words an error of a leaf for a person.
func commandError(what string, err error) error {
	e := &Error{Kind: Failed, What: what, Why: err.Error(), Remedy: "try again; if it stays, switchyard status shows what is wrong", Err: err}
	var ours *Error
	var refusal *claude.Refusal
	var busy *claude.BusyError
	var proof *runner.ProofError
	var unknown *runner.UnknownModelError
	var failed *runner.Error
	var pull *runner.PullError
	switch {
	case errors.As(err, &ours):
		e.Kind, e.Why, e.Remedy = ours.Kind, ours.Why, ours.Remedy
	case errors.As(err, &pull):
		e.Why, e.Remedy = pull.Why, pull.Remedy
	case errors.As(err, &refusal):
		e.Kind, e.Why, e.Remedy = Refused, refusal.Where()+": "+refusal.Why, refusal.Remedy
	case errors.As(err, &busy):
		e.Kind, e.Why, e.Remedy = Refused, busy.Error(), "try again when it is done"
	case errors.Is(err, context.Canceled):
		e.Why, e.Remedy = "it was interrupted", "nothing was changed; try again"
	case errors.As(err, &unknown):
		e.Kind, e.Why, e.Remedy = Refused, unknown.Why(), unknown.Remedy()
	case errors.As(err, &failed) && failed.Unreachable():
		e.Kind, e.Why, e.Remedy = Unreachable, "Model Runner at "+failed.Endpoint.String()+": "+failed.Why, failed.Remedy
	case errors.As(err, &proof):
		e.Kind, e.Why, e.Remedy = Refused, proofWords[proof.Proof.Name]+": "+proof.Proof.Detail, proof.Proof.Remedy
	case errors.As(err, &failed):
		e.Kind, e.Why, e.Remedy = Unreachable, "Model Runner at "+failed.Endpoint.String()+": "+failed.Why, failed.Remedy
	}
	e.Why, e.Remedy = strings.TrimSuffix(e.Why, "."), strings.TrimSuffix(e.Remedy, ".")
	return e
}

// proofWords say in a sentence what a proof is about.
var proofWords = map[string]string{
	"runner":         "Model Runner does not work",
	"model":          "the model is not there",
	"context":        "the context is too small",
	"message":        "the model does not answer",
	"system_message": "the model cannot take Claude Code's requests",
	"tool_call":      "the model cannot call tools",
}
