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

// effort is what is being done with the runner.
type effort struct {
	do         localrunner.Verb // nothing: an engine is being tried
	doing      string
	model      string
	cancel     context.CancelFunc
	superseded bool // somebody wants something else
}

// outcome is how an effort ended.
type outcome struct {
	*effort
	err error
}

// cureAgain is how long a model's engine is not cured a second time.
const cureAgain = 10 * time.Minute

// begin starts an effort.
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
		k.done <- outcome{o, localrunner.Explain(k.options.Machine, v, err)}
	}()
}

// ended takes an effort's end over.
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
	var rest []request
	for _, a := range k.waiting {
		switch {
		case o.err != nil && (a.do == o.do || a.do == localrunner.Nothing):
			a.done <- o.err
			continue
		case a.do == o.do:
			a.do, a.settled = localrunner.Nothing, true // told after the next look, when the State shows it
		}
		rest = append(rest, a)
	}
	k.waiting, k.policy.requested = rest, false
	k.policy.expectEnd()
	now := time.Now()
	switch {
	case o.superseded:
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

// needsPerson tells whether trying again cannot help.
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

// suspect tries a model whose engine failed a request.
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

// try has the model answer the smallest message. With cure, an engine that fails is
// unloaded and loaded, then its runner restarted.
func (k *Keeper) probe(ctx context.Context, model string, cure bool) {
	if at, ok := k.curedAt[model]; ok && time.Since(at) < cureAgain {
		cure = false
	}
	one, end := context.WithCancel(ctx)
	o := &effort{model: model, cancel: end}
	k.effort = o
	f := k.last.Instance
	go func() {
		defer end()
		k.done <- outcome{o, probeModel(one, f, model, cure)}
	}()
}

// cureError says that unloading and loading did not help.
type cureError struct{ error }

func (e cureError) Unwrap() error { return e.error }

// tryTime bounds one try, a load included.
const probeTime = 6 * time.Minute

func probeModel(ctx context.Context, f localrunner.Instance, model string, cure bool) error {
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	answers := func() error {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		return client.Answers(ctx, model)
	}
	err := answers()
	if !runner.Crashed(err) || !cure || ctx.Err() != nil {
		return err
	}
	if _, err := client.Unload(ctx, model); err == nil {
		if err = answers(); !runner.Crashed(err) {
			return err
		}
	}
	return cureError{err}
}

// tried takes over how a model did.
func (k *Keeper) onProbeDone(ctx context.Context, o outcome) {
	var uncured cureError
	switch {
	case o.superseded:
	case o.err == nil:
		k.reason, k.remedy = "", ""
	case errors.As(o.err, &uncured) && k.last.Seen.Controlled && k.policy.allowed:
		k.options.Log.Warn("a dead engine: restarting Model Runner", "model", o.model, "error", o.err)
		k.curedAt[o.model] = time.Now()
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
