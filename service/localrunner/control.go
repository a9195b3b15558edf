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

// Verb is what to do with a runner.
type Verb string

// The verbs; Nothing only waits until the runner answers.
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
	// StartWatch is the first pause between looks at a runner that is starting.
	StartWatch = 50 * time.Millisecond
	// EffortTime limits one start, stop or restart.
	EffortTime = 2 * time.Minute
)

// Task is what an error says was tried: "starting Model Runner".
func (v Verb) Task() string { return tasks[v] }

// Doing is what the menu shows meanwhile: "starting…".
func (v Verb) Doing() string { return doing[v] }

var (
	tasks = map[Verb]string{Start: "starting Model Runner", Restart: "restarting Model Runner", Stop: "stopping Model Runner"}
	doing = map[Verb]string{Start: words.Key("starting…"), Restart: words.Key("restarting…"), Stop: words.Key("stopping…")}
)

// UntilHealthy polls a runner that was started until it answers, since nothing
// announces that. It fails if the runner ends, or the context does.
func UntilHealthy(ctx context.Context, e engine.Engine) error {
	for pause := StartWatch; ; pause = min(2*pause, time.Second) {
		f := Instance{e, e.Look(ctx)}
		switch {
		case f.Seen.State == engine.Stopped || f.Seen.State == engine.Absent:
			return &engine.Error{Code: engine.Failed, Why: "it ended right after it was started" + because(f.Seen.Why), Remedy: "see its log: switchyard runner logs"}
		case f.MayAnswer() && f.Ask(ctx, "?").Err == nil:
			return nil
		}
		select {
		case <-ctx.Done():
			return &engine.Error{Code: engine.Failed, Why: "it was started, but does not answer", Remedy: "see its log: switchyard runner logs"}
		case <-time.After(pause):
		}
	}
}

// Explain makes an engine's error a *fault.Error; nil stays nil. Without a verb, it was an
// installation that failed.
func Explain(m *machine.Machine, c Verb, err error) error {
	if err == nil {
		return nil
	}
	what := c.Task()
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

// Logs writes the last lines of the runner's log, and with follow what is added to it
// until the context ends.
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
