package control

import (
	"context"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// GatewayAddress is where the gateway listens, of this process or of the running
// Switchyard; ok is false if there is none.
func GatewayAddress(ctx context.Context, m *machine.Machine) (at Address, ok bool) {
	if m.Here != nil {
		if url, token, ok := m.Here.Address(ctx); ok {
			return Address{url, token}, true
		}
	}
	running, err := Find(ctx, m)
	if err != nil {
		return Address{}, false
	}
	at, err = running.Address(ctx)
	return at, err == nil
}

// GatewayState is what the gateway of the running Switchyard is doing; the zero value if
// none is running.
func GatewayState(ctx context.Context, m *machine.Machine) state.Gateway {
	running, err := Find(ctx, m)
	if err != nil {
		return state.Gateway{}
	}
	g, err := running.Gateway(ctx)
	if err != nil {
		return state.Gateway{}
	}
	return g
}

// ControlRunner starts, stops or restarts the runner for a command. The running
// Switchyard does it, so that it knows that a person asked; without one it is done here.
func ControlRunner(ctx context.Context, m *machine.Machine, c localrunner.Verb) error {
	running, err := Find(ctx, m)
	if err == nil {
		return running.Control(ctx, c)
	}
	e, err := localrunner.Engine(ctx, m, false)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, localrunner.EffortTime)
	defer cancel()
	if err = c.Do(ctx, e); err == nil {
		m.RememberStop(c == localrunner.Stop)
		if c != localrunner.Stop {
			err = localrunner.UntilHealthy(ctx, e)
		}
	}
	return localrunner.Explain(m, c, err)
}

// BringUp starts a stopped runner, because the caller needs it now, and returns it as it
// is afterwards. One that Switchyard cannot start is returned unchanged; the proofs
// explain what is wrong with it.
func BringUp(ctx context.Context, m *machine.Machine, f localrunner.Instance, progress localrunner.Progress) (localrunner.Instance, error) {
	if !f.Seen.Controlled || f.MayAnswer() && f.Ask(ctx, "?").Err == nil || !m.MayStart() {
		return f, nil
	}
	if p := f.Seen.Problem; p != nil && (p.Code == engine.NoLlamaServer || p.Code == engine.NoProgram) {
		return f, fault.WrapEngine(localrunner.Start.Task(), p)
	}
	if progress.Begin != nil {
		progress.Begin("start_runner")
	}
	var err error
	switch {
	case m.Here != nil:
		err = m.Here.BringUp(ctx)
	default:
		err = ControlRunner(ctx, m, localrunner.Start)
	}
	if err != nil {
		return f, err
	}
	return localrunner.Find(ctx, m)
}
