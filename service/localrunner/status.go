package localrunner

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Status is what the runner's API says.
type Status struct {
	Models  []runner.Model
	Loaded  []runner.Loaded
	Version string // empty: unknown
	Err     error  // nil: it answers
}

// Silent reports whether nothing answers at all; something strange or slow may.
func (a Status) Silent() bool {
	var failed *runner.Error
	return errors.As(a.Err, &failed) && failed.Unreachable() && !errors.Is(a.Err, context.DeadlineExceeded)
}

// Slow reports whether the answer did not come in time.
func (a Status) Slow() bool { return errors.Is(a.Err, context.DeadlineExceeded) }

// Ask asks the API for the models, and for the version if that is empty.
func (f Instance) Ask(ctx context.Context, version string) Status {
	ctx, cancel := context.WithTimeout(ctx, Quick)
	defer cancel()
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	a := Status{Version: version}
	if a.Models, a.Err = client.Models(ctx); a.Err == nil && version == "" {
		a.Version, _ = client.Version(ctx)
	}
	if a.Err == nil {
		a.Loaded, _ = client.Running(ctx)
	}
	return a
}

// Describe combines what the engine and the API say.
func (f Instance) Describe(a Status) state.Runner {
	r := state.Runner{Engine: f.Engine.Kind(), URL: f.Seen.URL, Since: f.Seen.Since, Controlled: f.Seen.Controlled, Version: a.Version,
		Exposed: f.Seen.Exposed, OpenOrigins: f.Seen.OpenOrigins}
	if f.Seen.Socket != "" {
		r.URL = f.Seen.Socket
	}
	problem := f.Seen.Problem
	if problem != nil {
		r.Reason, r.Remedy = problem.Why, problem.Remedy
	}
	switch {
	case f.Seen.State == engine.Ending:
		r.State, r.Reason = state.Starting, f.Seen.Why
	case f.Seen.State == engine.Absent:
		r.State = state.Absent
	case f.Seen.State == engine.Stopped:
		r.State = state.Stopped
		if problem == nil {
			r.Reason = f.Seen.Why
		}
	case a.Err == nil:
		r.State, r.Reason, r.Remedy = state.Running, "", ""
	case f.Seen.State == engine.Running:
		r.State, r.Reason = state.RunnerFailed, "it is running, but does not answer at "+r.URL
		if !a.Silent() && !a.Slow() {
			r.Reason = "what answers at " + r.URL + " is not Model Runner: " + fault.RunnerReason(a.Err)
		}
		r.Remedy = "restart it: switchyard runner restart"
	case a.Silent():
		r.State = state.Stopped
		if problem == nil {
			r.Reason, r.Remedy = "nothing answers at "+r.URL, f.Remedy()
		}
	default:
		r.State, r.Reason, r.Remedy = state.RunnerFailed, "what answers at "+r.URL+" is not a working Model Runner ("+fault.RunnerReason(a.Err)+")", "see what listens there"
	}
	if r.State != state.Running {
		r.Version = ""
	}
	return r
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// Tagged lists models once for each tag, sorted by tag.
func Tagged(all []runner.Model) []state.Model {
	var out []state.Model
	for _, m := range all {
		tags := m.Tags
		if len(tags) == 0 {
			tags = []string{m.ID}
		}
		for _, tag := range tags {
			out = append(out, state.Model{Tag: tag, ID: m.ID, Size: m.Size, Context: m.Context, Trained: m.Trained, Quantization: m.Quantization, NoTools: m.NoTools})
		}
	}
	slices.SortFunc(out, func(a, b state.Model) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}
