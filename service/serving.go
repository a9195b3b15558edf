package service

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

// startServing opens and runs the gateway, if Serve was called. end is to be called
// when the loop has ended, before its goroutines are waited for. The order in end
// matters: settings first, then the socket, then the guard, then the port.
func (s *Supervisor) startServing(ctx context.Context, stop func(), owned *sync.WaitGroup) (end func(), err error) {
	if s.serve == nil {
		return func() {}, nil
	}
	var yielded atomic.Bool
	v, err := door.Open(ctx, s.doorOptions(func() {
		yielded.Store(true)
		stop()
	}))
	if err != nil {
		return func() {}, err
	}
	socket, err := control.Listen(s.machine.Paths, v, s)
	if err != nil {
		for _, l := range v.Listeners {
			_ = l.Close()
		}
		return func() {}, fmt.Errorf("cannot open its socket: %w", err)
	}
	s.door.Store(v)
	v.Run(ctx, owned)
	owned.Go(socket.Serve)
	guarding, endGuard := context.WithCancel(context.Background())
	v.KeepGuard(guarding) // end cancels it
	closeBoth := func(grace time.Duration) {
		v.Close(grace)
		socket.Close()
	}
	return func() {
		grace := requestGrace
		if yielded.Load() {
			grace = yieldGrace
		} else {
			leaving, cancel := context.WithTimeout(context.Background(), leaveTime)
			v.PointPast(leaving)
			if len(s.State().Sessions) > 0 && s.State().Gateway.Served() {
				<-time.After(machine.Reload) // running sessions reload their settings in this time; until then they are answered here
			}
			cancel()
			if s.State().Runs > 0 {
				closeBoth(grace) // so that the guard can open the same socket
				v.Guard.Stay()
			}
		}
		endGuard()
		<-v.Guard.Done
		closeBoth(grace)
	}, nil
}

// doorOptions connect the door to the other parts.
func (s *Supervisor) doorOptions(yield func()) door.Options {
	return door.Options{
		ServeOptions: *s.serve, Machine: s.machine, Log: s.log,
		State: s.State,
		Start: func(ctx context.Context) error { return s.keeper.Do(ctx, localrunner.Nothing, false) },
		Ended: s.keeper.RequestEnded,
		Used:  func(id string) { models.Learn(s.machine, id, func(l *models.Learned) { l.Used = time.Now() }) },
		Needs: func(id, build string, template shape.Needs) shape.Needs {
			return models.Needs(s.machine, id, build, template)
		},
		Learned: func(id, build string, lesson shape.Lesson) {
			if models.LearnLesson(s.machine, id, build, lesson) {
				s.log.Info("an engine's refusal taught something", "model", id, "lesson", lesson, "build", build)
			}
		},
		Report: func(ctx context.Context, g state.Gateway) { s.update(ctx, func(k *known) { k.gateway = g }) },
		Look:   func() { wake.Notify(s.lookFiles) },
		Yield:  yield,
	}
}

const (
	// leaveTime limits how long pointing the settings past the gateway may take.
	leaveTime = 10 * time.Second
	// requestGrace is how long answers in progress may go on when Switchyard quits.
	requestGrace = 3 * time.Second
	// yieldGrace is the same for a guard that another Switchyard replaced: you do not wait for it.
	yieldGrace = 15 * time.Minute
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
		log.Info("Switchyard ended; its guard serves the sessions of switchyard run to their end")
	} else {
		log.Warn("the Switchyard before was killed; its guard keeps the gateway up")
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
