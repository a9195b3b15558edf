package control

import (
	"context"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// Gateway is where the gateway of the running Switchyard is; none when there is no such.
func Gateway(ctx context.Context, m *machine.Machine) (Address, bool) {
	if m.Here != nil {
		if url, token, ok := m.Here.Address(ctx); ok {
			return Address{url, token}, true
		}
	}
	running, err := Find(ctx, m)
	if err != nil {
		return Address{}, false
	}
	at, err := running.Address(ctx)
	return at, err == nil
}

// GatewayState asks the Switchyard that runs, if one does, what its gateway does.
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

// Runner does the same from the command line: the Switchyard that runs does it,
// so that it knows whose wish it was; without one it is done here.
func Runner(ctx context.Context, m *machine.Machine, c localrunner.Verb) error {
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

// BringUp starts a runner that does not run for a switch: whoever wants the local
// route wants it. One that cannot be started is left to the proofs to explain.
func BringUp(ctx context.Context, m *machine.Machine, f localrunner.Instance, progress localrunner.Progress) (localrunner.Instance, error) {
	if !f.Seen.Controlled || f.Asked() && f.Ask(ctx, "?").Err == nil || !m.MayStart() {
		return f, nil
	}
	if p := f.Seen.Problem; p != nil && (p.Code == engine.NoLlamaServer || p.Code == engine.NoProgram) {
		return f, fault.WrapEngine(localrunner.Progressive[localrunner.Start], p)
	}
	if progress.Begin != nil {
		progress.Begin("start_runner")
	}
	var err error
	switch {
	case m.Here != nil:
		err = m.Here.BringUp(ctx)
	default:
		err = Runner(ctx, m, localrunner.Start)
	}
	if err != nil {
		return f, err
	}
	return localrunner.Find(ctx, m)
}
