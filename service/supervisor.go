// Package service is the supervisor: facts in, State out. It starts the rooms, hands
// wishes down to them, and makes one State of what they report.
package service

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/keeper"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/wake"
)

// Supervisor runs the parts, and makes one State of what they report: one goroutine,
// the loop, changes it, and everybody else gets copies.
type Supervisor struct {
	*hub
	*Commands
	log *slog.Logger

	serve *door.ServeOptions        // nil: it only looks
	door  atomic.Pointer[door.Door] // while it serves

	stopping sync.Mutex
	stop     func() // ends Run; nil before it
}

// NewSupervisor makes a supervisor that works on a copy of m. Run starts it.
func NewSupervisor(m *machine.Machine, log *slog.Logger) *Supervisor {
	own := *m
	h := &hub{
		machine: &own, updates: make(chan func(*known)),
		last: state.State{Route: claude.Cloud, Runner: state.Runner{State: state.Absent, Engine: engine.None}},
	}
	s := &Supervisor{hub: h, log: log}
	s.Commands = &Commands{
		hub: h, log: log, serving: func() bool { return s.door.Load() != nil }, departures: &departures{hub: h},
		switches: make(chan command), lookFiles: make(chan struct{}, 1), lookVRAM: make(chan struct{}, 1),
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
				k.listed, k.shapes = list, r.Models
				k.judge(s.machine)
			}
		})
	}
}

// Quit makes Run return, as if its context had been cancelled.
func (s *Supervisor) Quit() {
	s.stopping.Lock()
	defer s.stopping.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// Raise makes the tray show itself: a second Switchyard was started.
func (s *Supervisor) Raise(ctx context.Context) {
	s.update(ctx, func(k *known) { k.raised++ })
}

// Run supervises until the context ends, and returns when everything it started has ended.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	s.stopping.Lock()
	s.stop = stop
	s.stopping.Unlock()
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
		s.machine.Warnings = append(slices.Clone(s.machine.Warnings), state.Warning{Code: "no_gateway", Text: "Switchyard's gateway does not run: " + err.Error(),
			Remedy: "correct that and restart Switchyard; until then requests go to Model Runner directly"})
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
	w := &watchers{hub: s.hub, log: s.log}
	if s.machine.Program != "" {
		owned.Go(func() { w.memory(ctx, s.lookVRAM) })
	}
	if s.door.Load() == nil {
		return
	}
	owned.Go(func() { w.autostart(ctx) })
	if s.machine.Config.Releases != "" {
		owned.Go(func() { w.releases(ctx) })
	}
	owned.Go(func() { s.puller.Run(ctx) })
	owned.Go(func() { w.network(ctx) })
}

// follow switches where the network has led, as the configuration wants it.
func (s *Supervisor) follow(ctx context.Context, to claude.Route) {
	s.log.Info("the network changed", "route", to)
	_ = s.Switch(ctx, switching.Request{Route: to, Confirmed: true}) // a failure is in the State
}
