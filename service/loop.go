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
	"github.com/switchyard-app/switchyard/service/wake"
)

// known is what was reported to the loop; the State is computed from it.
type known struct {
	runner       state.Runner
	models       []state.Model  // with the verdicts on them
	listed       []state.Model  // as the keeper told them
	shapes       []runner.Model // the same, with what their need is computed from
	gateway      state.Gateway
	pulls        []state.Pull
	vram         state.VRAM
	vramWarnings []state.Warning // about it
	files        settings.Files
	sessions     sessions.Facts
	look         int             // which look at the files that was
	tasks        []task          // what is being done, the newest last
	doubt        state.Warning   // about it
	failures     []state.Failure // the last ones
	failed       int             // counts them
	audit        *offline.Auditor
	raised       int
	update       release.Release
	autostart    autostart.Status
	leaving      state.Departure
	advisor      *offline.Advisor
}

// read stores what a look at the files found, unless a newer look was faster.
func (k *known) read(look int, f settings.Files, facts sessions.Facts) {
	if look >= k.look {
		k.look, k.files, k.sessions = look, f, facts
	}
}

func (k *known) finish(id int) {
	k.tasks = slices.DeleteFunc(k.tasks, func(t task) bool { return t.id == id })
}

// busy is the text of the newest task.
func (k *known) busy() string {
	if len(k.tasks) == 0 {
		return ""
	}
	return k.tasks[len(k.tasks)-1].text
}

// judge decides again which models fit the GPU.
func (k *known) judge(m *machine.Machine) {
	k.models = models.Fits(m, slices.Clone(k.listed), k.shapes, k.vram)
}

// state is the State without what the files say; status.Complete adds that.
func (k *known) state() state.State {
	return state.State{Runner: k.runner, Models: k.models, Gateway: k.gateway, Pulls: k.pulls, VRAM: k.vram, Warnings: k.vramWarnings, Busy: k.busy(), Doubt: k.doubt,
		Failures: k.failures, Departure: k.leaving, Raised: k.raised, Update: k.update, Autostart: k.autostart}
}

// loop is the one goroutine that changes the State.
type loop struct {
	s     *Supervisor
	owned *sync.WaitGroup
	now   known
	state state.State
	begun sessions.Episodes
	due   *time.Timer // when time alone may change the State

	audits chan []offline.AuditLine

	running context.CancelFunc // ends the switch in progress; nil: there was none
	ended   chan struct{}      // closed at its end
}

func (s *Supervisor) newLoop(ctx context.Context, owned *sync.WaitGroup) *loop {
	l := &loop{
		s: s, owned: owned, now: known{audit: offline.NewAuditor(), advisor: offline.NewAdvisor(s.machine.Config.Auto)}, state: s.last, begun: sessions.Episodes{},
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
		case update := <-l.s.updates:
			update(&l.now)
			l.follow(ctx)
		case <-l.due.C:
			l.follow(ctx)
		case c := <-l.s.switches:
			l.begin(ctx, c)
		}
	}
}

// begin starts a switch, and ends the previous one.
func (l *loop) begin(ctx context.Context, c command) {
	if l.running != nil {
		l.running()
	}
	previous := l.ended
	var one context.Context
	one, l.running = context.WithCancel(ctx)
	l.ended = make(chan struct{})
	finished := l.ended
	l.owned.Go(func() {
		defer close(finished)
		if previous != nil {
			<-previous
		}
		c.done <- l.s.performSwitch(ctx, one, c.request)
	})
}

// follow makes the State that follows from what is known, and publishes it.
func (l *loop) follow(ctx context.Context) {
	moment := time.Now()
	next, again := status.Complete(l.s.machine, l.now.state(), l.now.files, l.now.sessions, l.begun, moment)
	if next.Model != "" {
		next.Contexts = memory.Contexts(next.Model, l.now.shapes, l.now.models, l.now.vram)
	}
	if next.Needs() != l.state.Needs() {
		l.s.keeper.SetNeeds(next.Needs())
		wake.Notify(l.s.lookVRAM)
	}
	d := l.s.door.Load()
	if d != nil {
		again = soonerOf(again, l.serve(ctx, &next, moment))
	}
	l.due.Stop()
	if !again.IsZero() {
		l.due.Reset(max(again.Sub(moment), soonest))
	}
	if !reflect.DeepEqual(l.state, next) {
		l.state = next
		l.s.publish(next)
		if d != nil {
			d.Guard.SetInUse(next.GatewayInUse())
		}
	}
}

// serve does what only a Switchyard that serves does with a new State, and returns
// when time alone may change it.
func (l *loop) serve(ctx context.Context, next *state.State, moment time.Time) (again time.Time) {
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
		l.owned.Go(func() { l.s.follow(ctx, to) })
	}
	return soonerOf(ends, settles)
}

// soonerOf is the first of two moments; a zero one is none.
func soonerOf(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// soonest keeps a State that changes by time from being computed without a pause.
const soonest = 50 * time.Millisecond

// writeAudit writes audit lines outside the loop, which must not wait for a slow disk.
func (s *Supervisor) writeAudit(audits <-chan []offline.AuditLine) {
	for lines := range audits {
		if err := offline.AppendAudit(s.machine.Paths, lines); err != nil {
			s.log.Error("the audit file cannot be written", "error", err)
		}
	}
}
