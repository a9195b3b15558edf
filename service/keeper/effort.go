package keeper

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
)

// effort is a start, stop or restart of the runner in progress, or a probe of an engine.
type effort struct {
	do         localrunner.Verb // Nothing: a probe
	doing      string           // for the menu
	model      string           // that is probed
	cancel     context.CancelFunc
	superseded bool // by another command
}

// outcome is how an effort ended.
type outcome struct {
	*effort
	err   error
	cured bool // a probe reloaded the model
}

// cures are when engines were last cured, by model. A cure disturbs every session of the
// model: what did not help once does not help a minute later.
type cures map[string]time.Time

// cureAgain is how long after a cure a model's engine is not cured again.
const cureAgain = 10 * time.Minute

func (c cures) due(model string, now time.Time) bool {
	at, cured := c[model]
	return !cured || now.Sub(at) >= cureAgain
}

// begin starts an effort; its end arrives at onEffortDone.
func (k *Keeper) begin(ctx context.Context, v localrunner.Verb) {
	one, end := context.WithTimeout(ctx, localrunner.EffortTime)
	o := &effort{do: v, doing: v.Doing(), cancel: end}
	k.effort, k.pause = o, localrunner.StartWatch
	k.policy.expectEnd()
	e := k.engine
	k.options.Log.Info("runner", "do", v, "engine", e.Kind())
	go func() {
		defer end()
		err := v.Do(one, e)
		if err == nil && v != localrunner.Stop {
			err = localrunner.UntilHealthy(one, e)
		}
		k.done <- outcome{effort: o, err: localrunner.Explain(k.options.Machine, v, err)}
	}()
}

// onEffortDone answers the requests that waited for an effort.
func (k *Keeper) onEffortDone(ctx context.Context, o outcome) {
	k.effort = nil
	if ctx.Err() != nil {
		return
	}
	switch {
	case o.do == localrunner.Nothing:
		k.onProbeDone(ctx, o)
		return
	case o.superseded:
		o.err = &fault.Error{Kind: fault.Failed, What: o.do.Task(), Why: "superseded by a newer command", Remedy: "try again"}
	}
	if notOurs(o.err) && o.do == localrunner.Stop { // it was not stopped
		k.policy.stopped = false
		k.options.Machine.RememberStop(false)
	}
	var rest []request
	for _, a := range k.waiting {
		switch {
		case o.err != nil && (a.do == o.do || a.do == localrunner.Nothing):
			a.done <- o.err
			continue
		case a.do == o.do:
			a.do, a.settled = localrunner.Nothing, true // answered after the next look, when the State shows it
		}
		rest = append(rest, a)
	}
	k.waiting, k.policy.requested = rest, false
	k.policy.expectEnd()
	now := time.Now()
	switch {
	case o.superseded:
	case notOurs(o.err): // nothing is wrong with the runner
	case o.err != nil:
		k.options.Log.Warn("runner", "do", o.do, "error", o.err)
		if k.needsPerson = needsPerson(o.err); o.do != localrunner.Stop && !k.needsPerson {
			k.policy.crash(now)
		}
		k.policy.delay(now)
		k.reason, k.remedy = fault.Explain(o.err)
		if k.policy.gaveUp {
			k.giveUp(ctx, k.reason)
		}
	case o.do != localrunner.Stop:
		k.reason, k.remedy = "", ""
		k.probeNext = k.wanted.Route
	}
	k.pause = 0
	k.look(ctx)
}

// notOurs reports whether the engine refused, because it did not start the runner.
func notOurs(err error) bool {
	var e *engine.Error
	return errors.As(err, &e) && e.Code == engine.NotOurs
}

// needsPerson reports whether only a person can remove the reason of a failed start.
func needsPerson(err error) bool {
	var e *engine.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case engine.NotInstalled, engine.NoPlugin, engine.NoProgram, engine.NoLlamaServer, engine.DockerDenied, engine.DockerRemote, engine.NoDocker:
		return true
	}
	return false
}

// checkEngine probes a model whose engine failed a request.
func (k *Keeper) checkEngine(ctx context.Context, r ending) {
	model := r.model
	if r.why == "" {
		k.reason, k.remedy = "", ""
		return
	}
	if model == "" || r.why == gateway.RunnerDown || !k.mayAct || !k.wanted.Route || k.effort != nil || !k.hasLooked || !k.last.MayAnswer() || k.last.Status.Err != nil {
		k.look(ctx)
		return
	}
	k.probe(ctx, model, true)
}

// probe sends the model the smallest message. With cure, an engine that crashes is
// reloaded, and if that does not help, the runner is restarted; not again before some time
// has passed.
func (k *Keeper) probe(ctx context.Context, model string, cure bool) {
	cure = cure && k.cures.due(model, time.Now())
	one, end := context.WithCancel(ctx)
	o := &effort{model: model, cancel: end}
	k.effort = o
	f := k.last.Instance
	go func() {
		defer end()
		cured, err := probeModel(one, f, model, cure)
		k.done <- outcome{o, err, cured}
	}()
}

// cureError is a crash that reloading the model did not cure.
type cureError struct{ error }

func (e cureError) Unwrap() error { return e.error }

// probeTime limits one probe, including the load of the model.
const probeTime = 6 * time.Minute

// probeModel returns whether it reloaded the model, and the last error.
func probeModel(ctx context.Context, f localrunner.Instance, model string, cure bool) (cured bool, err error) {
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	answers := func() error {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		return client.Answers(ctx, model)
	}
	if err = answers(); !runner.Crashed(err) || !cure || ctx.Err() != nil {
		return false, err
	}
	if _, failed := client.Unload(ctx, model); failed == nil {
		if err = answers(); !runner.Crashed(err) {
			return true, err
		}
	}
	return true, cureError{err}
}

// onProbeDone restarts the runner, or reports the model as broken, if its engine crashed.
func (k *Keeper) onProbeDone(ctx context.Context, o outcome) {
	if o.cured {
		k.cures[o.model] = time.Now()
	}
	var uncured cureError
	switch {
	case o.superseded:
	case o.err == nil:
		k.reason, k.remedy = "", ""
	case errors.As(o.err, &uncured) && k.last.Seen.Controlled && k.policy.allowed:
		k.options.Log.Warn("the engine does not recover: restarting Model Runner", "model", o.model, "error", o.err)
		k.begin(ctx, localrunner.Restart)
	case runner.Crashed(o.err) || runner.OutOfMemory(o.err):
		k.reason = "it lists its models, but " + runner.Short(o.model) + " does not answer: " + fault.RunnerReason(o.err)
		k.remedy = "choose another model, or restart it: switchyard runner restart"
		var failed *runner.Error
		if errors.As(o.err, &failed) && runner.OutOfMemory(o.err) {
			k.remedy = failed.Remedy
		}
	}
	k.look(ctx)
}
