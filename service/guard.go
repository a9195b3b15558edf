package service

import (
	"bufio"
	"context"
	"io"
	"log/slog"

	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Guard waits until the process that started it ends, which closes parent. If that
// process said goodbye, Guard returns. Otherwise it supervises in its place, without a
// tray, until another Switchyard starts or nothing points to the gateway any more.
func Guard(ctx context.Context, m *machine.Machine, log *slog.Logger, parent io.Reader) error {
	listeners := door.Inherited(m.EnvNumber(door.GuardVariable))
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	resting := false
	said := make(chan string, 1)
	go func() { // ends with the process at the latest
		words, _ := io.ReadAll(bufio.NewReader(parent))
		said <- string(words)
	}()
	select {
	case <-ctx.Done():
		return nil
	case words := <-said:
		if words == door.Farewell {
			return nil
		}
		resting = words == door.StayOn
	}
	if resting {
		log.Info("Switchyard quit; its guard serves the remaining sessions of switchyard run")
	} else {
		log.Warn("Switchyard was killed; its guard keeps the gateway up")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := NewSupervisor(m, log)
	program := machine.Executable()
	if m.EnvNumber(door.TurnVariable) >= door.GuardTurns {
		program = ""
	}
	s.Serve(door.ServeOptions{Listeners: listeners, Program: program, IsGuard: true, Resting: resting})
	states := s.Subscribe()
	go func() { // ends with the supervisor
		for {
			select {
			case <-ctx.Done():
				return
			case state := <-states:
				if len(state.Targets) > 0 && !state.GatewayInUse() {
					stop()
				}
			}
		}
	}()
	return s.Run(ctx)
}
