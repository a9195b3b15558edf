package service

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Supervisor owns the State: one goroutine changes it, everybody else gets copies.
type Supervisor struct {
	yard *Yard
	log  *slog.Logger

	facts       chan func(*known) // what became known, applied in the loop
	commands    chan command
	lookFiles   chan struct{} // a wish to read the files, at most one waiting
	lookRunner  chan struct{} // a wish to ask the runner
	lookVRAM    chan struct{} // a wish to read the graphics memory
	lookGateway chan struct{} // a wish to see what the gateway does

	serve   *Serve   // nil: it only looks
	serving *serving // while it serves
	keeper  *keeper
	puller  *puller

	mu          sync.Mutex
	subscribers []chan State
	last        State
	stop        func()            // ends Run; nil before it
	departing   *DepartureRequest // the last check before a departure
	cures       []Finding         // what it found, with what cures it
}

// known is what the loop has been told; the State follows from it.
type known struct {
	runner    Runner
	models    []Model        // with the verdicts on them
	listed    []Model        // as the keeper told them
	shapes    []runner.Model // the same, with what their need is computed from
	gateway   Gateway
	pulls     []Pull
	vram      VRAM
	strained  []Warning // about it
	files     files
	busy      string
	doubt     Warning // about what is being done
	failure   Failure
	audit     *auditor
	raised    int
	update    release.Release
	autostart autostart.Status
	leaving   Departure
	sense     *sense
}

// judge gives the verdicts anew.
func (k *known) judge(y *Yard) { k.models = y.fits(slices.Clone(k.listed), k.shapes, k.vram) }

type command struct {
	request Request
	done    chan error
}

// debounce gathers the events of one write before the files are read.
const debounce = 40 * time.Millisecond

// debounceSessions does so for sessions, which write their records with every turn.
const debounceSessions = 250 * time.Millisecond

// NewSupervisor makes a supervisor; Run starts it.
func NewSupervisor(y *Yard, log *slog.Logger) *Supervisor {
	s := &Supervisor{
		yard: y, log: log,
		facts: make(chan func(*known)), commands: make(chan command),
		lookFiles: make(chan struct{}, 1), lookRunner: make(chan struct{}, 1), lookGateway: make(chan struct{}, 1), lookVRAM: make(chan struct{}, 1),
		last: State{Route: claude.Cloud, Runner: Runner{State: Absent, Engine: engine.None}},
	}
	s.keeper, s.puller = newKeeper(s), newPuller(s)
	return s
}

// Serve makes Run serve the gateway. It is called before Run.
func (s *Supervisor) Serve(how Serve) { s.serve = &how }

// end makes Run return, as if its context had ended.
func (s *Supervisor) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// raise has the faces show that this Switchyard runs.
func (s *Supervisor) raise(ctx context.Context) {
	s.fact(ctx, func(k *known) { k.raised++ })
}

// present is the State of this moment.
func (s *Supervisor) present() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Subscribe returns a channel that always holds the newest State, beginning
// with the present one. States that nobody took in time are replaced.
func (s *Supervisor) Subscribe() <-chan State {
	c := make(chan State, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	c <- s.last
	s.subscribers = append(s.subscribers, c)
	return c
}

// Refresh asks for a new look at everything, without waiting for it.
func (s *Supervisor) Refresh() {
	wish(s.lookFiles)
	wish(s.lookRunner)
	wish(s.lookVRAM)
}

func wish(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

// Switch moves Claude Code, and ends a switch that is still proving. It returns
// when the switch is done; its failure is in the State too.
func (s *Supervisor) Switch(ctx context.Context, r Request) error {
	c := command{r, make(chan error, 1)}
	select {
	case s.commands <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Choose sets the model for the next switch to local, and switches at once when the route is local or offline.
func (s *Supervisor) Choose(ctx context.Context, tag string) error {
	if now := s.present(); now.Route != claude.Cloud {
		direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct // stays so
		return s.Switch(ctx, Request{Route: now.Route, Model: tag, Direct: direct})
	}
	defer wish(s.lookFiles)
	var err error = &Error{Kind: Refused, What: "choosing " + tag, Why: "the configuration says which model a switch takes", Remedy: `change "model" in ` + s.yard.Paths.Config}
	if s.yard.Config.Model == "" {
		err = s.yard.Choose(tag)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not choose the model"), err)
	}
	return err
}

// Resize gives the model in use another context, in tokens, and switches to it.
func (s *Supervisor) Resize(ctx context.Context, tag string, tokens int) error {
	s.fact(ctx, func(k *known) { k.busy = words.Key("Repackaging the model…") })
	made, current, err := s.yard.Resize(ctx, tag, tokens)
	s.fact(ctx, func(k *known) { k.busy = "" })
	wish(s.lookRunner)
	if err != nil {
		s.failed(ctx, words.Key("Could not change the context"), err)
		return err
	}
	if !current {
		return nil
	}
	return s.Choose(ctx, made)
}

// failed puts a command's failure into the State.
func (s *Supervisor) failed(ctx context.Context, title string, err error) {
	text := s.yard.tilde(reasonAndRemedy(err))
	s.fact(ctx, func(k *known) { k.failure = Failure{N: k.failure.N + 1, Title: title, Text: text} })
}

// Run supervises until the context ends, and returns when everything it started has ended.
func (s *Supervisor) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	var owned sync.WaitGroup
	defer owned.Wait()
	defer stop()
	watch, err := newWatcher(s.yard)
	if err != nil {
		return err
	}
	defer watch.Close()
	s.keeper.act(s.serve != nil)
	endServing, err := s.startServing(ctx, stop, &owned)
	if err != nil {
		s.log.Error("no gateway", "error", err)
		s.yard.Warnings = append(s.yard.Warnings, Warning{"no_gateway", "Switchyard's gateway does not run: " + err.Error(),
			"correct that and start Switchyard anew; until then requests go to Model Runner directly"})
	}
	defer endServing()
	owned.Go(func() {
		(&fileLooker{s: s, watch: watch, exits: map[int]bool{}, ended: make(chan int), owned: &owned, cache: &claude.Files{}}).run(ctx)
	})
	owned.Go(func() { s.keeper.run(ctx) })
	if s.serving != nil {
		owned.Go(func() { s.lookAtAutostart(ctx) })
		if s.yard.Config.Releases != "" {
			owned.Go(func() { s.watchReleases(ctx) })
		}
	}
	if s.yard.Program != "" {
		owned.Go(func() { s.watchVRAM(ctx) })
	}
	if s.serving != nil {
		owned.Go(func() { s.puller.loop(ctx) })
	}
	s.Refresh()

	now := known{audit: newAuditor(), sense: newSense(s.yard.Config.Auto)}
	audits := make(chan []AuditLine, 16)
	if s.serving != nil {
		now.gateway = s.serving.state()
		owned.Go(func() { s.writeAudit(audits) })
		owned.Go(func() { s.watchNetwork(ctx) })
	}
	defer close(audits)
	state := s.last
	begun := episodes{}
	due := time.NewTimer(time.Hour) // when time alone may change the State
	defer due.Stop()
	follow := func() {
		moment := time.Now()
		next, again := s.yard.merge(State{Runner: now.runner, Models: now.models, Gateway: now.gateway, Pulls: now.pulls, VRAM: now.vram, Warnings: now.strained, Busy: now.busy, Doubt: now.doubt, Failure: now.failure, Departure: now.leaving, Raised: now.raised, Update: now.update, Autostart: now.autostart}, now.files, begun, moment)
		if next.Model != "" {
			next.Contexts = now.contexts(next.Model)
		}
		if next.needs() != state.needs() {
			s.keeper.want(next.needs())
			wish(s.lookVRAM)
		}
		if s.serving != nil && next.Route == claude.Offline && state.Route != claude.Offline {
			owned.Go(func() { s.puller.endAll(ctx) })
		}
		if s.serving != nil {
			lines, ends := now.audit.see(next, moment)
			if len(lines) > 0 {
				audits <- lines
			}
			to, settles := now.sense.see(next, moment)
			next.Network, next.Advice = now.sense.settled, now.sense.advice
			if to != "" {
				owned.Go(func() { s.follow(ctx, to) })
			}
			for _, due := range []time.Time{ends, settles} {
				if !due.IsZero() && (again.IsZero() || due.Before(again)) {
					again = due
				}
			}
		}
		due.Stop()
		if !again.IsZero() {
			due.Reset(max(again.Sub(moment), soonest))
		}
		if !reflect.DeepEqual(state, next) {
			state = next
			s.publish(state)
			if s.serving != nil {
				s.serving.guard.want(state.gatewayInUse())
			}
		}
	}
	var running context.CancelFunc // the switch in progress
	var ended chan struct{}
	for {
		select {
		case <-ctx.Done():
			if running != nil {
				running()
			}
			if lines := now.audit.rest(state, time.Now()); s.serving != nil && len(lines) > 0 {
				audits <- lines
			}
			return nil
		case fact := <-s.facts:
			fact(&now)
			follow()
		case <-due.C:
			follow()
		case c := <-s.commands:
			if running != nil {
				running()
			}
			previous := ended
			var one context.Context
			one, running = context.WithCancel(ctx)
			ended = make(chan struct{})
			finished := ended
			owned.Go(func() {
				defer close(finished)
				if previous != nil {
					<-previous
				}
				c.done <- s.perform(ctx, one, c.request)
			})
		}
	}
}

// writeAudit writes what the loop hands over, apart from it: a disk may hesitate.
func (s *Supervisor) writeAudit(audits <-chan []AuditLine) {
	for lines := range audits {
		if err := s.yard.Paths.appendAudit(lines); err != nil {
			s.log.Error("the audit file cannot be written", "error", err)
		}
	}
}

// soonest keeps a State that changes by time from being computed without a pause.
const soonest = 50 * time.Millisecond

// fact hands a change of the State to the loop.
func (s *Supervisor) fact(ctx context.Context, f func(*known)) {
	select {
	case s.facts <- f:
	case <-ctx.Done():
	}
}

// perform does one switch. ctx is the supervisor's, one the command's own.
func (s *Supervisor) perform(ctx, one context.Context, r Request) error {
	begin := func(name string) {
		s.fact(ctx, func(k *known) { k.busy = busy(name) })
	}
	begin("")
	start := time.Now()
	result, err := s.yard.Switch(one, r, Progress{Begin: begin, Warn: func(w Warning) { s.fact(ctx, func(k *known) { k.doubt = w }) }})
	s.log.Info("switch", "route", r.Route, "model", result.Model, "took", time.Since(start).Round(time.Millisecond), "error", err)
	// What the switch wrote is read before it counts as done.
	f := s.yard.lookAtFiles(ctx)
	s.yard.lookAtSessions(&f, &claude.Roster{}, &claude.Files{})
	if r.Route == claude.Offline && (err == nil || !errors.Is(err, context.Canceled)) {
		s.depart(ctx, one, &DepartureRequest{Model: r.Model, Context: r.Context, Failed: err}, err == nil) // a failure is told below
	}
	s.fact(ctx, func(k *known) { k.busy, k.doubt, k.files = "", Warning{}, f })
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(ctx, words.T("Could not switch to %s", words.T(string(r.Route))), err)
	}
	s.Refresh()
	return err
}

func reasonAndRemedy(err error) string {
	reason, remedy := why(err)
	return reason + "\n→ " + remedy
}

// busy says what a proof is doing.
func busy(proof string) string {
	switch proof {
	case "message":
		return words.Key("Loading the model…")
	case "system_message", "tool_call":
		return words.Key("Trying the model…")
	}
	return words.Key("Switching…")
}

func (s *Supervisor) publish(state State) {
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

// fileLooker is the one goroutine that reads the settings files and the sessions' records.
type fileLooker struct {
	s      *Supervisor
	watch  *watcher
	exits  map[int]bool // processes whose end is being waited for
	ended  chan int
	owned  *sync.WaitGroup
	files  files // of the last look
	roster claude.Roster
	cache  *claude.Files
}

func (l *fileLooker) run(ctx context.Context) {
	var due, dueSessions <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.watch.Events():
			if due == nil {
				due = time.After(debounce)
			}
			continue
		case <-l.watch.Sessions():
			if dueSessions == nil {
				dueSessions = time.After(debounceSessions)
			}
			continue
		case <-dueSessions:
			dueSessions = nil
			l.lookAtSessions(ctx)
			continue
		case pid := <-l.ended:
			delete(l.exits, pid)
			if !slices.ContainsFunc(l.files.waiting, func(s claude.Session) bool { return s.PID == pid }) {
				l.lookAtSessions(ctx)
				continue
			}
		case <-due:
			due = nil
		case <-l.s.lookFiles:
		}
		l.look(ctx)
	}
}

// look reads every target, repairs a switch that was written over, and reports what is new.
func (l *fileLooker) look(ctx context.Context) {
	l.repair(ctx)
	if l.s.serving != nil {
		l.s.serving.lead(ctx)
	}
	l.files = l.s.yard.lookAtFiles(ctx)
	if l.s.serving == nil {
		g := l.s.yard.lookAtGateway(ctx)
		l.s.fact(ctx, func(k *known) { k.gateway = g })
	}
	l.lookAtSessions(ctx)
}

// lookAtSessions reads their records alone, and waits for the end of each: one that
// is killed tells nobody.
func (l *fileLooker) lookAtSessions(ctx context.Context) {
	f := l.files
	l.s.yard.lookAtSessions(&f, &l.roster, l.cache)
	l.files = f
	var folders []string
	for _, one := range f.sessions {
		if one.stale {
			continue
		}
		folders = append(folders, filepath.Join(one.CWD, ".claude"))
		l.await(ctx, one.Session)
	}
	for _, p := range f.places {
		l.await(ctx, p.session())
	}
	for _, session := range f.waiting {
		l.await(ctx, session)
	}
	l.watch.Update(folders)
	l.s.fact(ctx, func(k *known) { k.files = f })
}

func (l *fileLooker) await(ctx context.Context, session claude.Session) {
	if l.exits[session.PID] {
		return
	}
	l.exits[session.PID] = true
	l.owned.Go(func() {
		if claude.WaitExit(ctx, session) != nil {
			return
		}
		select {
		case l.ended <- session.PID:
		case <-ctx.Done():
		}
	})
}

func (l *fileLooker) repair(ctx context.Context) {
	targets, err := l.s.yard.ledger.Switched()
	if err != nil {
		return // the look says so
	}
	for _, t := range targets {
		out, err := l.s.yard.ledger.Verify(ctx, t)
		if err != nil {
			l.s.log.Warn("verify", "file", t.File, "error", err)
		} else if out.Again > 0 {
			l.s.log.Info("a stale copy was written over the switch; applied again", "file", t.File, "times", out.Again)
		}
	}
}
