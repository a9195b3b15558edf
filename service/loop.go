package service

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/offline"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/wake"
)

// known is what was reported to the loop; the State is computed from it.
type known struct {
	runner       state.Runner
	models       []state.Model  // with what fits the GPU
	tagged       []state.Model  // as the keeper reported them
	shapes       []runner.Model // the same, with what their memory need is computed from
	gateway      state.Gateway
	pulls        []state.Pull
	vram         state.VRAM
	vramWarnings []state.Warning // about the graphics memory
	files        settings.Files
	sessions     sessions.Facts
	lookNumber   int           // of the look that read files and sessions
	tasks        []task        // in progress, the newest last
	doubt        state.Warning // about it
	failure      state.Failure
	audit        *offline.Auditor
	raised       int
	update       release.Release
	autostart    autostart.Status
	departure    state.Departure
	advisor      *offline.Advisor
}

// judge decides again which models fit the GPU.
func (k *known) judge(m *machine.Machine) {
	k.models = models.Fits(m, slices.Clone(k.tagged), k.shapes, k.vram)
}

// read stores what a look at the files found, unless a newer look was faster.
func (k *known) read(look int, f settings.Files, facts sessions.Facts) {
	if look >= k.lookNumber {
		k.lookNumber, k.files, k.sessions = look, f, facts
	}
}

// state is the State without what the files say; status.Complete adds that.
func (k *known) state() state.State {
	return state.State{Runner: k.runner, Models: k.models, Gateway: k.gateway, Pulls: k.pulls, VRAM: k.vram, Warnings: k.vramWarnings, Busy: k.busy(), Doubt: k.doubt,
		Failure: k.failure, Departure: k.departure, Raised: k.raised, Update: k.update, Autostart: k.autostart}
}

type command struct {
	request switching.Request
	done    chan error
}

// loop is the one goroutine that changes the State.
type loop struct {
	s        *Supervisor
	owned    *sync.WaitGroup
	now      known
	state    state.State
	episodes sessions.Episodes
	due      *time.Timer // when the State may change without an event

	audits chan []offline.AuditLine

	running  context.CancelFunc // cancels the last switch; nil: there was none
	finished chan struct{}      // closed when that switch has ended
}

func (s *Supervisor) newLoop(ctx context.Context, owned *sync.WaitGroup) *loop {
	l := &loop{
		s: s, owned: owned, now: known{audit: offline.NewAuditor(), advisor: offline.NewAdvisor(s.machine.Config.Auto)}, state: s.last, episodes: sessions.Episodes{},
		due: time.NewTimer(time.Hour), audits: make(chan []offline.AuditLine, 16),
	}
	if d := s.door.Load(); d != nil {
		l.now.gateway = d.State()
	}
	owned.Go(func() { s.writeAudit(l.audits) })
	return l
}

func (l *loop) close() {
	l.due.Stop()
	close(l.audits)
}

func (l *loop) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			if l.running != nil {
				l.running()
			}
			if lines := l.now.audit.CloseAll(l.state, time.Now()); l.s.door.Load() != nil && len(lines) > 0 {
				l.audits <- lines
			}
			return
		case fact := <-l.s.updates:
			fact(&l.now)
			l.refresh(ctx)
		case <-l.due.C:
			l.refresh(ctx)
		case c := <-l.s.commands:
			l.startSwitch(ctx, c)
		}
	}
}

// startSwitch cancels the switch in progress, if any, and starts another one.
func (l *loop) startSwitch(ctx context.Context, c command) {
	if l.running != nil {
		l.running()
	}
	previous := l.finished
	var one context.Context
	one, l.running = context.WithCancel(ctx)
	l.finished = make(chan struct{})
	finished := l.finished
	l.owned.Go(func() {
		defer close(finished)
		if previous != nil {
			<-previous
		}
		c.done <- l.s.performSwitch(ctx, one, c.request)
	})
}

// refresh computes the State from what is known, and publishes it if it changed.
func (l *loop) refresh(ctx context.Context) {
	moment := time.Now()
	next, again := status.Complete(l.s.machine, l.now.state(), l.now.files, l.now.sessions, l.episodes, moment)
	if next.Model != "" {
		next.Contexts = memory.Contexts(next.Model, l.now.shapes, l.now.models, l.now.vram)
	}
	if next.Needs() != l.state.Needs() {
		l.s.keeper.SetNeeds(next.Needs())
		wake.Notify(l.s.lookVRAM)
	}
	d := l.s.door.Load()
	if d != nil {
		again = earlier(again, l.onState(ctx, &next, moment))
	}
	l.due.Stop()
	if !again.IsZero() {
		l.due.Reset(max(again.Sub(moment), minDelay))
	}
	if !reflect.DeepEqual(l.state, next) {
		l.state = next
		l.s.publish(next)
		if d != nil {
			d.Guard.SetInUse(next.GatewayInUse())
		}
	}
}

// onState does what only the Switchyard that serves the gateway does with a new State:
// the audit, and following the network. again is when to call it next without an event.
func (l *loop) onState(ctx context.Context, next *state.State, moment time.Time) (again time.Time) {
	if next.Route == claude.Offline && l.state.Route != claude.Offline {
		l.owned.Go(func() { l.s.puller.EndAll(ctx) })
	}
	lines, ends := l.now.audit.Update(*next, moment)
	if len(lines) > 0 {
		l.audits <- lines
	}
	to, settles := l.now.advisor.Update(*next, moment)
	next.Network, next.Advice = l.now.advisor.Settled, l.now.advisor.Advice
	if to != "" {
		l.owned.Go(func() { l.s.followNetwork(ctx, to) })
	}
	return earlier(ends, settles)
}

// earlier is the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// minDelay keeps a State that changes with time from being computed in a busy loop.
const minDelay = 50 * time.Millisecond

// writeAudit writes audit lines outside the loop, which must not wait for a slow disk.
func (s *Supervisor) writeAudit(audits <-chan []offline.AuditLine) {
	for lines := range audits {
		if err := offline.AppendAudit(s.machine.Paths, lines); err != nil {
			s.log.Error("the audit file cannot be written", "error", err)
		}
	}
}
