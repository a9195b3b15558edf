package service

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
)

// quick bounds a look at a runner that should answer at once.
const quick = 2 * time.Second

// found is the runner of this machine: what keeps it alive, and what that says of it.
type found struct {
	engine engine.Engine
	seen   engine.Seen
}

// engine finds what keeps the runner alive. An owner may run one itself. The error
// is an *Error.
func (y *Yard) engine(ctx context.Context, owner bool) (engine.Engine, error) {
	runtime := y.Paths.Runtime
	if dir, err := y.Paths.RuntimeDir(); err == nil {
		runtime = dir
	}
	e, err := engine.Find(ctx, engine.Search{
		Getenv: y.getenv, Home: y.Home, Environ: y.Environ, Configured: y.Config.Runner, Wanted: engine.Kind(y.Config.Engine),
		Program: y.path(y.Config.ModelRunner), LlamaServer: y.path(y.Config.LlamaServer), State: y.Paths.State, Runtime: runtime, Owner: owner,
		Usual: y.Paths.Usual.Runner, Docker: y.Paths.Usual.Docker,
	})
	if err != nil {
		failed := engineError("finding Model Runner", err)
		failed.Kind = Refused
		return nil, failed
	}
	return e, nil
}

// path is a configured file, with ~ for the home folder.
func (y *Yard) path(file string) string {
	if file == "" {
		return ""
	}
	return expand(file, y.Home)
}

// find looks for the runner once.
func (y *Yard) find(ctx context.Context) (found, error) {
	e, err := y.engine(ctx, false)
	if err != nil {
		return found{}, err
	}
	return found{e, e.Look(ctx)}, nil
}

// endpoint is where the runner's API is.
func (f found) endpoint() runner.Endpoint {
	at := runner.Endpoint{URL: f.seen.URL, Socket: f.seen.Socket, Start: f.remedy()}
	return at
}

// remedy says how it is brought up.
func (f found) remedy() string {
	switch {
	case f.seen.Problem != nil:
		return f.seen.Problem.Remedy
	case f.seen.Controlled:
		return "start it: switchyard runner start"
	case f.seen.Named != "":
		return "start Model Runner there, or correct " + f.seen.Named + ", which names it"
	}
	return "start Model Runner where it was started before"
}

// api is what the runner itself says.
type api struct {
	models  []runner.Model
	loaded  []runner.Loaded
	version string
	err     error // nil: it answers
}

// ask asks the runner for its models, and for its version when that is not known.
func (f found) ask(ctx context.Context, version string) api {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	a := api{version: version}
	if a.models, a.err = client.Models(ctx); a.err == nil && version == "" {
		a.version, _ = client.Version(ctx)
	}
	if a.err == nil {
		a.loaded, _ = client.Running(ctx)
	}
	return a
}

// silent tells whether nothing at all answers, as opposed to something strange or slow.
func (a api) silent() bool {
	var failed *runner.Error
	return errors.As(a.err, &failed) && failed.Unreachable() && !errors.Is(a.err, context.DeadlineExceeded)
}

// slow tells whether no answer came in time.
func (a api) slow() bool { return errors.Is(a.err, context.DeadlineExceeded) }

// asked tells whether the API has anything to say at all.
func (f found) asked() bool {
	return f.engine.Kind() != engine.None && (f.seen.State == engine.Running || f.seen.State == engine.Unknown)
}

// describe puts what the engine and the API say together.
func (f found) describe(a api) Runner {
	r := Runner{Engine: f.engine.Kind(), URL: f.seen.URL, Since: f.seen.Since, Controlled: f.seen.Controlled, Version: a.version,
		exposed: f.seen.Exposed, openOrigins: f.seen.OpenOrigins}
	if f.seen.Socket != "" {
		r.URL = f.seen.Socket
	}
	problem := f.seen.Problem
	if problem != nil {
		r.Reason, r.Remedy = problem.Why, problem.Remedy
	}
	switch {
	case f.seen.State == engine.Ending:
		r.State, r.Reason = Starting, f.seen.Why
	case f.seen.State == engine.Absent:
		r.State = Absent
	case f.seen.State == engine.Stopped:
		r.State = Stopped
		if problem == nil {
			r.Reason = f.seen.Why
		}
	case a.err == nil:
		r.State, r.Reason, r.Remedy = Running, "", ""
	case f.seen.State == engine.Running:
		r.State, r.Reason = Broken, "it runs, but does not answer at "+r.URL
		if !a.silent() && !a.slow() {
			r.Reason = "what answers at " + r.URL + " is not Model Runner: " + reason(a.err)
		}
		r.Remedy = "restart it: switchyard runner restart"
	case a.silent():
		r.State = Stopped
		if problem == nil {
			r.Reason, r.Remedy = "nothing answers at "+r.URL, f.remedy()
		}
	default:
		r.State, r.Reason, r.Remedy = Broken, "what answers at "+r.URL+" is not a working Model Runner ("+reason(a.err)+")", "see what listens there"
	}
	if r.State != Running {
		r.Version = ""
	}
	return r
}

// reason is why a request to the runner failed, in a few words.
func reason(err error) string {
	var failed *runner.Error
	if errors.As(err, &failed) {
		return failed.Why
	}
	return err.Error()
}

// LookAtRunner fills the State's part about the runner.
func (y *Yard) LookAtRunner(ctx context.Context) (Runner, []Model) {
	r, models, _ := y.lookAtRunner(ctx)
	return r, models
}

func (y *Yard) lookAtRunner(ctx context.Context) (Runner, []Model, []runner.Model) {
	f, err := y.find(ctx)
	if err != nil {
		what, remedy := why(err)
		return Runner{State: Absent, Engine: engine.None, Reason: what, Remedy: remedy}, nil, nil
	}
	var a api
	if f.asked() {
		a = f.ask(ctx, "")
	}
	r := f.describe(a)
	r.ByPerson = r.State == Stopped && y.stoppedByPerson()
	return r, y.describeModels(models(a.models), a.loaded), a.models
}

// models are the runner's, one for each tag.
func models(all []runner.Model) []Model {
	var out []Model
	for _, m := range all {
		tags := m.Tags
		if len(tags) == 0 {
			tags = []string{m.ID}
		}
		for _, tag := range tags {
			out = append(out, Model{Tag: tag, ID: m.ID, Size: m.Size, Context: m.Context, Trained: m.Trained, Quantization: m.Quantization})
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}

// mayStart tells whether the configuration lets Switchyard start the runner by itself.
func (y *Yard) mayStart() bool { return y.Config.StartRunner == nil || *y.Config.StartRunner }

func (y *Yard) stoppedByPerson() bool {
	_, err := os.Stat(y.Paths.stopped())
	return err == nil
}

// rememberStop notes whether a person stopped the runner.
func (y *Yard) rememberStop(stopped bool) {
	if !stopped {
		_ = os.Remove(y.Paths.stopped())
		return
	}
	if os.MkdirAll(y.Paths.State, 0o700) == nil {
		_ = os.WriteFile(y.Paths.stopped(), nil, 0o600)
	}
}

// engineError words an error of an engine.
func engineError(what string, err error) *Error {
	e := &Error{Kind: Failed, What: what, Why: err.Error(), Remedy: "try again", Err: err}
	var ours *engine.Error
	if errors.As(err, &ours) {
		e.Why, e.Remedy = ours.Why, ours.Remedy
		switch ours.Code {
		case engine.Failed:
		case engine.NotOurs, engine.NotInstalled, engine.NoPlugin, engine.NoProgram, engine.NoLlamaServer, engine.PortTaken, engine.DockerDenied, engine.DockerRemote, engine.NoDocker:
			e.Kind = Refused
		default:
			e.Kind = Unreachable
		}
	}
	return e
}
