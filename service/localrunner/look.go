package localrunner

import (
	"context"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Look is what was seen of a runner at one moment.
type Look struct {
	Instance
	Status Status
	Busy   bool // an answer is on its way through the gateway
}

// LookWith looks with an engine, or with the one that it finds.
func LookWith(ctx context.Context, m *machine.Machine, e, old engine.Engine, owner bool, version string) Look {
	if e == nil {
		var err error
		if e, err = Engine(ctx, m, owner); err != nil {
			problem := &engine.Error{Code: engine.Failed}
			problem.Why, problem.Remedy = fault.Explain(err)
			return Look{Instance: Instance{engine.Nowhere(problem), engine.Seen{State: engine.Absent, Problem: problem}}}
		}
		if old != nil && same(e, old) {
			e = old // it remembers
		}
	}
	l := Look{Instance: Instance{e, e.Look(ctx)}}
	if l.MayAnswer() {
		l.Status = l.Ask(ctx, version)
	}
	return l
}

// same tells whether two searches found the same engine.
func same(a, b engine.Engine) bool { return a.Kind() == b.Kind() && a.Place() == b.Place() }
