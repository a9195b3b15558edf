// Package service is Switchyard's core: the supervisor, whose one loop owns the State, and the commands of the tray.
package service

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/keeper"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

// Supervisor owns the State: one goroutine, the loop, changes it; all others get copies.
type Supervisor struct {
	machine *machine.Machine
	log     *slog.Logger

	updates   chan func(*known) // changes of what is known, applied by the loop
	commands  chan command
	lookFiles chan struct{} // asks for a look at the files, at most one waiting
	lookVRAM  chan struct{} // asks for a reading of the graphics memory

	serve  *door.ServeOptions        // nil: it only watches
	door   atomic.Pointer[door.Door] // nil while it does not serve
	keeper *keeper.Keeper
	puller *pulls.Puller

	mu           sync.Mutex
	subscribers  []chan state.State
	last         state.State
	stop         func()            // makes Run return; nil before Run
	taskCount    int               // how many were started
	lookCount    int               // at the files
	lastCheck    *doctor.Departure // the last check before a departure
	lastFindings []state.Finding   // what it found, with their fixes
}

// NewSupervisor makes a supervisor that works on a copy of m. Run starts it.
func NewSupervisor(m *machine.Machine, log *slog.Logger) *Supervisor {
	own := *m
	s := &Supervisor{
		machine: &own, log: log,
		updates: make(chan func(*known)), commands: make(chan command),
		lookFiles: make(chan struct{}, 1), lookVRAM: make(chan struct{}, 1),
		last: state.State{Route: claude.Cloud, Runner: state.Runner{State: state.Absent, Engine: engine.None}},
	}
	s.keeper = keeper.New(keeper.Options{
		Machine: s.machine, Log: log, Busy: s.answering, OnLook: s.onLook, Report: s.runnerReporter(), Sync: s.sync,
		AddressChanged: func() { wake.Notify(s.lookFiles) },
	})
	s.puller = pulls.New(pulls.Options{
		Machine: s.machine, Log: log,
		Runner:        func(ctx context.Context) localrunner.Instance { return s.door.Load().Runner(ctx) },
		Start:         func(ctx context.Context, person bool) error { return s.keeper.Do(ctx, localrunner.Nothing, person) },
		VRAM:          func() state.VRAM { return s.State().VRAM },
		Report:        func(ctx context.Context, pulls []state.Pull) { s.update(ctx, func(k *known) { k.pulls = pulls }) },
		ModelsChanged: s.keeper.Look,
	})
	return s
}

// Serve makes Run serve the gateway as well. Call it before Run.
func (s *Supervisor) Serve(how door.ServeOptions) { s.serve, s.machine.Here = &how, s }

// Run supervises until the context ends, and returns when everything it started has ended.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	var owned sync.WaitGroup
	defer owned.Wait()
	defer stop()
	watch, err := settings.Watch(s.machine)
	if err != nil {
		return err
	}
	defer watch.Close()
	s.keeper.AllowActing(s.serve != nil)
	endServing, err := s.startServing(ctx, stop, &owned)
	if err != nil {
		s.log.Error("no gateway", "error", err)
		s.machine.Warnings = append(slices.Clone(s.machine.Warnings), state.Warning{Code: "no_gateway", Text: "Switchyard's gateway is not running: " + err.Error(),
			Remedy: "correct that and start Switchyard again; until then requests go to Model Runner directly"})
	}
	defer endServing()
	l := s.newLoop(ctx, &owned)
	defer l.close()
	s.startParts(ctx, watch, &owned)
	s.Refresh()
	l.run(ctx)
	return nil
}

// startParts starts the goroutines that feed the loop.
func (s *Supervisor) startParts(ctx context.Context, watch *settings.Watcher, owned *sync.WaitGroup) {
	owned.Go(func() {
		(&fileLooker{s: s, watch: watch, exits: map[int]bool{}, ended: make(chan int), owned: owned, cache: &claude.Files{}}).run(ctx)
	})
	owned.Go(func() { s.keeper.Run(ctx) })
	if s.machine.Program != "" {
		owned.Go(func() { s.watchVRAM(ctx) })
	}
	if s.door.Load() == nil {
		return
	}
	owned.Go(func() { s.updateAutostart(ctx) })
	if s.machine.Config.Releases != "" {
		owned.Go(func() { s.watchReleases(ctx) })
	}
	owned.Go(func() { s.puller.Run(ctx) })
	owned.Go(func() { s.watchNetwork(ctx) })
}

// Quit makes Run return, as if its context had been cancelled.
func (s *Supervisor) Quit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// Raise makes the tray show itself: a second Switchyard was started.
func (s *Supervisor) Raise(ctx context.Context) {
	s.update(ctx, func(k *known) { k.raised++ })
}

// State returns the newest State.
func (s *Supervisor) State() state.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Subscribe returns a channel that always holds the newest State, beginning
// with the current one. A State that was not received in time is replaced.
func (s *Supervisor) Subscribe() <-chan state.State {
	c := make(chan state.State, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	c <- s.last
	s.subscribers = append(s.subscribers, c)
	return c
}

// Refresh reads everything again, in the background.
func (s *Supervisor) Refresh() {
	wake.Notify(s.lookFiles)
	s.keeper.Look()
	wake.Notify(s.lookVRAM)
}

func (s *Supervisor) publish(state state.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = state
	for _, c := range s.subscribers {
		select {
		case <-c:
		default:
		}
		c <- state
	}
}

// update has the loop apply a change to what is known.
func (s *Supervisor) update(ctx context.Context, f func(*known)) {
	select {
	case s.updates <- f:
	case <-ctx.Done():
	}
}

// failed puts the failure of a command into the State; title says what failed.
func (s *Supervisor) failed(ctx context.Context, title string, err error) {
	text := s.machine.Tilde(fault.Text(err))
	s.update(ctx, func(k *known) { k.failure = state.Failure{N: k.failure.N + 1, Title: title, Text: text} })
}

// nextLook numbers a look at the files that begins now.
func (s *Supervisor) nextLook() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookCount++
	return s.lookCount
}

// Address implements machine.Host.
func (s *Supervisor) Address(ctx context.Context) (url, token string, ok bool) {
	d := s.door.Load()
	if d == nil {
		return "", "", false
	}
	at := d.Address(ctx)
	return at.URL, at.Token, true
}

// BringUp implements machine.Host.
func (s *Supervisor) BringUp(ctx context.Context) error {
	return s.keeper.Do(ctx, localrunner.Nothing, true)
}

// ChangeRunner starts, stops or restarts the runner for a command, and returns when it
// answers or has stopped.
func (s *Supervisor) ChangeRunner(ctx context.Context, c localrunner.Verb) error {
	return s.keeper.Do(ctx, c, true)
}

// Watched notes that "offline --verify" watches a session and writes its audit line.
func (s *Supervisor) Watched(ctx context.Context, session string) {
	s.update(ctx, func(k *known) { k.audit.Watched[session] = true })
}

// answering reports whether the gateway is answering a request.
func (s *Supervisor) answering() bool {
	d := s.door.Load()
	return d != nil && d.Busy()
}

// onLook passes a look at the runner to the parts that need it.
func (s *Supervisor) onLook(ctx context.Context, l localrunner.Look) {
	if s.serve != nil {
		models.NoteSeen(s.machine, l.Status.Models)
	}
	if d := s.door.Load(); d != nil {
		d.SetRunner(l.Instance)
		s.puller.Follow(ctx, l)
	}
}

// runnerReporter returns the function that puts the runner and its models into the State.
func (s *Supervisor) runnerReporter() func(context.Context, keeper.Report) {
	described, listed := 0, []state.Model(nil) // the last look that was described
	return func(ctx context.Context, r keeper.Report) {
		fresh := r.Look != described
		if fresh {
			described, listed = r.Look, models.Describe(s.machine, localrunner.Tagged(r.Models), r.Loaded)
		}
		list := listed
		s.update(ctx, func(k *known) {
			k.runner = r.Runner
			if fresh {
				k.tagged, k.shapes = list, r.Models
				k.judge(s.machine)
			}
		})
	}
}

// sync returns when all earlier updates are in the State.
func (s *Supervisor) sync(ctx context.Context) { s.update(ctx, func(*known) {}) }
