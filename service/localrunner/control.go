package localrunner

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/words"
)

// Verb is something to be done with a runner.
type Verb string

const (
	Nothing Verb = ""
	Start   Verb = "start"
	Restart Verb = "restart"
	Stop    Verb = "stop"
)

// Do has an engine do it. A runner that was started may not answer yet: see UntilHealthy.
func (v Verb) Do(ctx context.Context, e engine.Engine) error {
	switch v {
	case Start:
		return e.Start(ctx)
	case Restart:
		return e.Restart(ctx)
	case Stop:
		return e.Stop(ctx)
	}
	return nil
}

const (
	StartWatch = 50 * time.Millisecond
	// EffortTime bounds one start, stop or restart.
	EffortTime = 2 * time.Minute
)

var Progressive = map[Verb]string{Start: "starting Model Runner", Restart: "restarting Model Runner", Stop: "stopping Model Runner"}

var Doing = map[Verb]string{Start: words.Key("starting…"), Restart: words.Key("restarting…"), Stop: words.Key("stopping…")}

// UntilHealthy waits until a runner that was started answers. Nothing announces that.
func UntilHealthy(ctx context.Context, e engine.Engine) error {
	for pause := StartWatch; ; pause = min(2*pause, time.Second) {
		f := Instance{e, e.Look(ctx)}
		switch {
		case f.Seen.State == engine.Stopped || f.Seen.State == engine.Absent:
			return &engine.Error{Code: engine.Failed, Why: "it was started and ended at once" + because(f.Seen.Why), Remedy: "see its log: switchyard runner logs"}
		case f.Asked() && f.Ask(ctx, "?").Err == nil:
			return nil
		}
		select {
		case <-ctx.Done():
			return &engine.Error{Code: engine.Failed, Why: "it was started and does not answer", Remedy: "see its log: switchyard runner logs"}
		case <-time.After(pause):
		}
	}
}

// Explain words an engine's error for a person; nil stays nil.
func Explain(m *machine.Machine, c Verb, err error) error {
	if err == nil {
		return nil
	}
	what := Progressive[c]
	if what == "" {
		what = "installing Model Runner"
	}
	e := fault.WrapEngine(what, err)
	var taken *engine.Error
	if errors.As(err, &taken) && taken.Code == engine.PortTaken {
		e.Why, e.Remedy = PortTaken(m, taken.Port)
	}
	return e
}

// Logs writes the runner's log.
func Logs(ctx context.Context, m *machine.Machine, to io.Writer, lines int, follow bool) error {
	e, err := Engine(ctx, m, false)
	if err != nil {
		return err
	}
	if err := e.Logs(ctx, to, lines, follow); err != nil {
		return fault.WrapEngine("reading Model Runner's log", err)
	}
	return nil
}
