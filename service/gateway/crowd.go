package gateway

import (
	"cmp"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// takeTurnsFor is how long a model serves one request at a time, after several together
// needed more than its context.
const takeTurnsFor = 10 * time.Minute

// judge words what the runner answered with an error. llama.cpp ends all requests that share
// the context when it is full: together they need too much, and one after another they may
// fit. A request that was alone is too long.
func (x *exchange) judge(status int, body []byte) *failure {
	f := translate(status, body, x.model)
	if f.reason != verdict.Crowded {
		return f
	}
	g := x.g
	beside := g.queue(x.model.Tag).load().Running > 1
	g.mu.Lock()
	defer g.mu.Unlock()
	if !beside && time.Since(g.crowded[x.model.Tag]) > time.Minute {
		limit := cmp.Or(x.model.Context, int(x.body.Size()/unknownDensity))
		return overflow(limit+1, limit)
	}
	if beside {
		g.crowded[x.model.Tag] = time.Now()
	}
	return f
}

// takesTurns reports whether a model serves one request at a time for now.
func (g *Gateway) takesTurns(model string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Since(g.crowded[model]) < takeTurnsFor
}
