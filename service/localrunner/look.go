package localrunner

import (
	"context"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Look is the runner at one moment.
type Look struct {
	Instance
	Status Status
	Busy   bool // the gateway is answering a request
}

// LookWith looks with the engine e. If e is nil, it searches for one, but keeps old if it
// finds the same engine. The version is asked for if it is empty; for owner see Engine.
func LookWith(ctx context.Context, m *machine.Machine, e, old engine.Engine, owner bool, version string) Look {
	if e == nil {
		var err error
		if e, err = Engine(ctx, m, owner); err != nil {
			problem := &engine.Error{Code: engine.Failed}
			problem.Why, problem.Remedy = fault.Explain(err)
			return Look{Instance: Instance{engine.Nowhere(problem), engine.Seen{State: engine.Absent, Problem: problem}}}
		}
		if old != nil && same(e, old) {
			e = old // it has state
		}
	}
	l := Look{Instance: Instance{e, e.Look(ctx)}}
	if l.MayAnswer() {
		l.Status = l.Ask(ctx, version)
	}
	return l
}

// same reports whether two searches found the same engine.
func same(a, b engine.Engine) bool { return a.Kind() == b.Kind() && a.Place() == b.Place() }
