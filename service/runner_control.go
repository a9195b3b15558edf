package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/words"
)

// Control starts, stops or restarts the runner for a person, and returns when it
// answers, or has stopped. The error is an *Error.
func (s *Supervisor) Control(ctx context.Context, c Control) error {
	err := s.keeper.do(ctx, c, true)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(ctx, words.Key("Could not do that with Model Runner"), err)
	}
	return err
}

// Control does the same from the command line: the Switchyard that runs does it,
// so that it knows whose wish it was; without one it is done here.
func (y *Yard) Control(ctx context.Context, c Control) error {
	running, err := y.Supervised(ctx)
	if err == nil {
		return running.control(ctx, c)
	}
	e, err := y.engine(ctx, false)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, effortTime)
	defer cancel()
	switch c {
	case StartRunner:
		err = e.Start(ctx)
	case RestartRunner:
		err = e.Restart(ctx)
	case StopRunner:
		err = e.Stop(ctx)
	}
	if err == nil {
		y.rememberStop(c == StopRunner)
		if c != StopRunner {
			err = untilHealthy(ctx, e)
		}
	}
	return y.wordEngine(c, err)
}

// bringUp starts a runner that does not run for a switch: whoever wants the local
// route wants it. One that cannot be started is left to the proofs to explain.
func (y *Yard) bringUp(ctx context.Context, f found, progress Progress) (found, error) {
	if !f.seen.Controlled || f.asked() && f.ask(ctx, "?").err == nil || !y.mayStart() {
		return f, nil
	}
	if p := f.seen.Problem; p != nil && (p.Code == engine.NoLlamaServer || p.Code == engine.NoProgram) {
		return f, engineError(gerund[StartRunner], p)
	}
	if progress.Begin != nil {
		progress.Begin("start_runner")
	}
	var err error
	switch {
	case y.Here != nil:
		err = y.Here.BringUp(ctx)
	default:
		err = y.Control(ctx, StartRunner)
	}
	if err != nil {
		return f, err
	}
	return y.find(ctx)
}

// Install sets the runner up, or sets it up again with other options, and follows
// it to another port. progress hears what is being done.
func (y *Yard) Install(ctx context.Context, how engine.Install, progress func(string)) error {
	const what = "installing Model Runner"
	e, err := y.engine(ctx, false)
	if err != nil {
		return err
	}
	if how.GPU == "" && runtime.GOOS == "linux" && len(gpu.Present("/")) == 0 {
		how.GPU = "none"
	}
	before := found{e, e.Look(ctx)}
	installer, ok := e.(engine.Installer)
	switch {
	case ok:
	case before.seen.Named != "":
		return &Error{Kind: Refused, What: what, Why: "the Model Runner here is the one at " + before.seen.URL + ", which " + before.seen.Named + " names", Remedy: "unset that to have one in Docker"}
	case y.Config.Engine != "":
		return &Error{Kind: Refused, What: what, Why: `"engine" in config.toml says that Switchyard runs Model Runner itself, which needs no installation`, Remedy: `set it to "container" to have one in Docker`}
	default: // nothing in Docker yet: that is where it shall be
		asked := *y
		asked.Config.Engine = string(engine.Container)
		return asked.Install(ctx, how, progress)
	}
	if err := installer.Install(ctx, how, progress); err != nil {
		return y.wordEngine("", err)
	}
	y.rememberStop(false)
	ctx, cancel := context.WithTimeout(ctx, effortTime)
	defer cancel()
	if err := untilHealthy(ctx, e); err != nil {
		return y.wordEngine("", err)
	}
	if before.seen.State != engine.Absent {
		y.follow(ctx, slog.New(slog.DiscardHandler), before.endpoint().BaseURL(), found{e, e.Look(ctx)}.endpoint().BaseURL())
	}
	return nil
}

// RunnerLogs writes the runner's log.
func (y *Yard) RunnerLogs(ctx context.Context, to io.Writer, lines int, follow bool) error {
	e, err := y.engine(ctx, false)
	if err != nil {
		return err
	}
	if err := e.Logs(ctx, to, lines, follow); err != nil {
		return engineError("reading Model Runner's log", err)
	}
	return nil
}

// OpenRunnerLog writes the end of the runner's log to a file that only this user
// can read, and has it shown.
func (s *Supervisor) OpenRunnerLog(ctx context.Context, show func(context.Context, string) error) {
	const lines = 2000
	err := func() error {
		dir, err := s.yard.Paths.RuntimeDir()
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "model-runner.log.txt")
		to, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := s.yard.RunnerLogs(ctx, to, lines, false); err != nil {
			return err
		}
		return show(ctx, file)
	}()
	if err != nil && ctx.Err() == nil {
		var ours *Error
		if !errors.As(err, &ours) {
			err = &Error{Kind: Failed, What: "opening the log", Why: err.Error(), Remedy: "see it at a terminal: switchyard runner logs", Err: err}
		}
		s.failed(ctx, words.Key("Could not open Model Runner's log"), err)
	}
}

// wordEngine words an engine's error for a person; nil stays nil.
func (y *Yard) wordEngine(c Control, err error) error {
	if err == nil {
		return nil
	}
	what := gerund[c]
	if what == "" {
		what = "installing Model Runner"
	}
	e := engineError(what, err)
	var taken *engine.Error
	if errors.As(err, &taken) && taken.Code == engine.PortTaken {
		e.Why, e.Remedy = y.portTaken(taken.Port)
	}
	return e
}

// controlAnswer is a command's end over the socket.
type controlAnswer struct {
	Failed            bool
	Kind              Kind
	What, Why, Remedy string
}

func (s *Supervised) control(ctx context.Context, c Control) error {
	var answer controlAnswer
	ctx, cancel := context.WithTimeout(ctx, effortTime+quick)
	defer cancel()
	if err := s.askLong(ctx, http.MethodPost, "/runner/"+string(c), &answer); err != nil {
		return &Error{Kind: Failed, What: gerund[c], Why: err.Error(), Remedy: "try again", Err: err}
	}
	if answer.Failed {
		return &Error{Kind: answer.Kind, What: answer.What, Why: answer.Why, Remedy: answer.Remedy}
	}
	return nil
}
