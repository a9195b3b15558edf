// Package localrunner is the Model Runner of this machine: it finds its engine, looks at
// it, and starts, stops and installs it.
package localrunner

import (
	"context"
	"fmt"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
)

// Quick is how long to wait for something that should answer at once.
const Quick = 2 * time.Second

// Instance is the runner of this machine: its engine, and what a look at that found.
type Instance struct {
	Engine engine.Engine
	Seen   engine.Seen
}

// Engine finds what runs Model Runner: Docker, Docker Desktop or Switchyard itself. Only
// with owner may it be the engine that is a child of this process. The error is a
// *fault.Error.
func Engine(ctx context.Context, m *machine.Machine, owner bool) (engine.Engine, error) {
	runtime := m.Paths.Runtime
	if dir, err := m.Paths.RuntimeDir(); err == nil {
		runtime = dir
	}
	e, err := engine.Find(ctx, engine.Search{
		Getenv: m.Getenv, Home: m.Home, Environ: m.Environ, Configured: m.Config.Runner, Wanted: engine.Kind(m.Config.Engine),
		Program: m.Path(m.Config.ModelRunner), LlamaServer: m.Path(m.Config.LlamaServer), State: m.Paths.State, Runtime: runtime, Owner: owner,
		Usual: m.Paths.Usual.Runner, Docker: m.Paths.Usual.Docker,
	})
	if err != nil {
		failed := fault.WrapEngine("finding Model Runner", err)
		failed.Kind = fault.Refused
		return nil, failed
	}
	return e, nil
}

// Find finds the engine and looks at the runner once.
func Find(ctx context.Context, m *machine.Machine) (Instance, error) {
	e, err := Engine(ctx, m, false)
	if err != nil {
		return Instance{}, err
	}
	return Instance{e, e.Look(ctx)}, nil
}

// Endpoint is the address of the runner's API.
func (f Instance) Endpoint() runner.Endpoint {
	at := runner.Endpoint{URL: f.Seen.URL, Socket: f.Seen.Socket, Start: f.Remedy()}
	return at
}

// Remedy says how to start the runner.
func (f Instance) Remedy() string {
	switch {
	case f.Seen.Problem != nil:
		return f.Seen.Problem.Remedy
	case f.Seen.Controlled:
		return "start it: switchyard runner start"
	case f.Seen.Named != "":
		return "start Model Runner there, or correct " + f.Seen.Named + ", which names it"
	}
	return "start Model Runner where it was started before"
}

// MayAnswer reports whether it is worth asking the API.
func (f Instance) MayAnswer() bool {
	return f.Engine.Kind() != engine.None && (f.Seen.State == engine.Running || f.Seen.State == engine.Unknown)
}

// SocketRemedy says how to make a runner reachable that has no TCP port.
func SocketRemedy(f Instance) string {
	remedy := "start Switchyard (switchyard), whose gateway reaches it"
	if f.Engine.Kind() == engine.Desktop {
		remedy += fmt.Sprintf(", or open its TCP port: docker desktop enable model-runner --tcp %d", engine.Port)
	}
	return remedy
}
