package service

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// Supervisor owns the State: one goroutine changes it, everybody else gets copies.
type Supervisor struct {
	yard *Yard
	log  *slog.Logger

	facts     chan func(*known) // what became known, applied in the loop
	commands  chan command
	lookFiles chan struct{} // a wish to read the files, at most one waiting
	lookVRAM  chan struct{} // a wish to read the graphics memory

	serve  *Serve               // nil: it only looks
	door   atomic.Pointer[door] // while it serves
	keeper *keeper
	puller *puller

	mu          sync.Mutex
	subscribers []chan State
	last        State
	stop        func()            // ends Run; nil before it
	begun       int               // counts the tasks
	looks       int               // counts the looks at the files
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
	sessions  sessionsFacts
	look      int     // which look at the files that was
	tasks     []task  // what is being done, the newest last
	doubt     Warning // about it
	failure   Failure
	audit     *auditor
	raised    int
	update    release.Release
	autostart autostart.Status
	leaving   Departure
	sense     *sense
}

// read takes a look at the files, unless a newer one came first.
func (k *known) read(look int, f files, facts sessionsFacts) {
	if look >= k.look {
		k.look, k.files, k.sessions = look, f, facts
	}
}

// task is something that is being done. Several may be at a time.
type task struct {
	id   int
	text string
	s    *Supervisor
}

// begin puts a task into the State.
func (s *Supervisor) begin(ctx context.Context, text string) task {
	s.mu.Lock()
	s.begun++
	t := task{s.begun, text, s}
	s.mu.Unlock()
	s.fact(ctx, func(k *known) { k.tasks = append(k.tasks, t) })
	return t
}

// say tells how far it is.
func (t task) say(ctx context.Context, text string) {
	t.s.fact(ctx, func(k *known) {
		for i := range k.tasks {
			if k.tasks[i].id == t.id {
				k.tasks[i].text = text
			}
		}
	})
}

func (t task) end(ctx context.Context) { t.s.fact(ctx, func(k *known) { k.finish(t.id) }) }

func (k *known) finish(id int) {
	k.tasks = slices.DeleteFunc(k.tasks, func(t task) bool { return t.id == id })
}

// busy is what the newest task says.
func (k *known) busy() string {
	if len(k.tasks) == 0 {
		return ""
	}
	return k.tasks[len(k.tasks)-1].text
}

// nextLook numbers a look at the files that begins now.
func (s *Supervisor) nextLook() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	return s.looks
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
	own := *y
	s := &Supervisor{
		yard: &own, log: log,
		facts: make(chan func(*known)), commands: make(chan command),
		lookFiles: make(chan struct{}, 1), lookVRAM: make(chan struct{}, 1),
		last: State{Route: claude.Cloud, Runner: Runner{State: Absent, Engine: engine.None}},
	}
	s.keeper = newKeeper(keeperOptions{
		yard: s.yard, log: log, busy: s.answering, looked: s.looked, report: s.runnerReporter(), shown: s.shown,
		moved: func() { wake.Notify(s.lookFiles) },
	})
	s.puller = newPuller(pullOptions{
		yard: s.yard, log: log,
		runner: func(ctx context.Context) found { return s.door.Load().runner(ctx) },
		start:  func(ctx context.Context, person bool) error { return s.keeper.do(ctx, nothing, person) },
		vram:   func() VRAM { return s.State().VRAM },
		report: func(ctx context.Context, pulls []Pull) { s.fact(ctx, func(k *known) { k.pulls = pulls }) },
		came:   s.keeper.wish,
	})
	return s
}

// Serve makes Run serve the gateway. It is called before Run.
func (s *Supervisor) Serve(how Serve) { s.serve, s.yard.Here = &how, s }

// Address is where the gateway of this process listens; see Host.
func (s *Supervisor) Address(ctx context.Context) (url, token string, ok bool) {
	d := s.door.Load()
	if d == nil {
		return "", "", false
	}
	at := d.Address(ctx)
	return at.URL, at.Token, true
}

// BringUp starts the runner for a person's switch; see Host.
func (s *Supervisor) BringUp(ctx context.Context) error { return s.keeper.do(ctx, nothing, true) }

// KeepRunner has the runner started, stopped or restarted, and returns when that is done.
func (s *Supervisor) KeepRunner(ctx context.Context, c Control) error {
	return s.keeper.do(ctx, c, true)
}

// Watched notes that a session's audit line is written by somebody else.
func (s *Supervisor) Watched(ctx context.Context, session string) {
	s.fact(ctx, func(k *known) { k.audit.watched[session] = true })
}

// answering tells whether an answer is on its way through the gateway.
func (s *Supervisor) answering() bool {
	d := s.door.Load()
	return d != nil && d.busy()
}

// looked hands a look at the runner to whom it concerns.
func (s *Supervisor) looked(ctx context.Context, l look) {
	if s.serve != nil {
		s.yard.noteSeen(l.api.models)
	}
	if d := s.door.Load(); d != nil {
		d.seen(l.found)
		s.puller.follow(ctx, l)
	}
}

// runnerReporter puts the runner and its models into the State.
func (s *Supervisor) runnerReporter() func(context.Context, runnerReport) {
	described, listed := 0, []Model(nil) // the last look that was described
	return func(ctx context.Context, r runnerReport) {
		fresh := r.look != described
		if fresh {
			described, listed = r.look, s.yard.describeModels(models(r.models), r.loaded)
		}
		list := listed
		s.fact(ctx, func(k *known) {
			k.runner = r.runner
			if fresh {
				k.listed, k.shapes = list, r.models
				k.judge(s.yard)
			}
		})
	}
}

// shown returns when all facts of before are in the State.
func (s *Supervisor) shown(ctx context.Context) { s.fact(ctx, func(*known) {}) }

// Quit makes Run return, as if its context had ended.
func (s *Supervisor) Quit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// Raise has the faces show that this Switchyard runs.
func (s *Supervisor) Raise(ctx context.Context) {
	s.fact(ctx, func(k *known) { k.raised++ })
}

// State is what is known at this moment.
func (s *Supervisor) State() State {
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
	wake.Notify(s.lookFiles)
	s.keeper.wish()
	wake.Notify(s.lookVRAM)
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
	if now := s.State(); now.Route != claude.Cloud {
		direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct // stays so
		return s.Switch(ctx, Request{Route: now.Route, Model: tag, Direct: direct})
	}
	defer wake.Notify(s.lookFiles)
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
	t := s.begin(ctx, words.Key("Repackaging the model…"))
	made, current, err := s.yard.Resize(ctx, tag, tokens)
	t.end(ctx)
	s.keeper.wish()
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
		s.yard.Warnings = append(slices.Clone(s.yard.Warnings), Warning{"no_gateway", "Switchyard's gateway does not run: " + err.Error(),
			"correct that and start Switchyard anew; until then requests go to Model Runner directly"})
	}
	defer endServing()
	l := s.newLoop(ctx, &owned)
	defer l.close()
	s.startParts(ctx, watch, &owned)
	s.Refresh()
	l.run(ctx)
	return nil
}

// startParts starts what looks and listens beside the loop.
func (s *Supervisor) startParts(ctx context.Context, watch *watcher, owned *sync.WaitGroup) {
	owned.Go(func() {
		(&fileLooker{s: s, watch: watch, exits: map[int]bool{}, ended: make(chan int), owned: owned, cache: &claude.Files{}}).run(ctx)
	})
	owned.Go(func() { s.keeper.run(ctx) })
	if s.yard.Program != "" {
		owned.Go(func() { s.watchVRAM(ctx) })
	}
	if s.door.Load() == nil {
		return
	}
	owned.Go(func() { s.lookAtAutostart(ctx) })
	if s.yard.Config.Releases != "" {
		owned.Go(func() { s.watchReleases(ctx) })
	}
	owned.Go(func() { s.puller.loop(ctx) })
	owned.Go(func() { s.watchNetwork(ctx) })
}

// loop is the one goroutine that changes the State.
type loop struct {
	s     *Supervisor
	owned *sync.WaitGroup
	now   known
	state State
	begun episodes
	due   *time.Timer // when time alone may change the State

	audits chan []AuditLine

	running context.CancelFunc // ends the switch in progress; nil: there was none
	ended   chan struct{}      // closed at its end
}

func (s *Supervisor) newLoop(ctx context.Context, owned *sync.WaitGroup) *loop {
	l := &loop{
		s: s, owned: owned, now: known{audit: newAuditor(), sense: newSense(s.yard.Config.Auto)}, state: s.last, begun: episodes{},
		due: time.NewTimer(time.Hour), audits: make(chan []AuditLine, 16),
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
			if lines := l.now.audit.rest(l.state, time.Now()); l.s.door.Load() != nil && len(lines) > 0 {
				l.audits <- lines
			}
			return
		case fact := <-l.s.facts:
			fact(&l.now)
			l.follow(ctx)
		case <-l.due.C:
			l.follow(ctx)
		case c := <-l.s.commands:
			l.begin(ctx, c)
		}
	}
}

// begin starts a switch, and ends the one before it.
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
		c.done <- l.s.perform(ctx, one, c.request)
	})
}

// follow makes the State that follows from what is known, and publishes it.
func (l *loop) follow(ctx context.Context) {
	moment := time.Now()
	next, again := l.s.yard.merge(l.now.state(), l.now.files, l.now.sessions, l.begun, moment)
	if next.Model != "" {
		next.Contexts = contexts(next.Model, l.now.shapes, l.now.models, l.now.vram)
	}
	if next.needs() != l.state.needs() {
		l.s.keeper.want(next.needs())
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
			d.guard.want(next.gatewayInUse())
		}
	}
}

// serve does what only a Switchyard that serves does with a new State, and returns
// when time alone may change it.
func (l *loop) serve(ctx context.Context, next *State, moment time.Time) (again time.Time) {
	if next.Route == claude.Offline && l.state.Route != claude.Offline {
		l.owned.Go(func() { l.s.puller.endAll(ctx) })
	}
	lines, ends := l.now.audit.see(*next, moment)
	if len(lines) > 0 {
		l.audits <- lines
	}
	to, settles := l.now.sense.see(*next, moment)
	next.Network, next.Advice = l.now.sense.settled, l.now.sense.advice
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

// state is the State before the files are merged into it.
func (k *known) state() State {
	return State{Runner: k.runner, Models: k.models, Gateway: k.gateway, Pulls: k.pulls, VRAM: k.vram, Warnings: k.strained, Busy: k.busy(), Doubt: k.doubt,
		Failure: k.failure, Departure: k.leaving, Raised: k.raised, Update: k.update, Autostart: k.autostart}
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
	t := s.begin(ctx, busy(""))
	start := time.Now()
	result, err := s.yard.Switch(one, r, Progress{Begin: func(proof string) { t.say(ctx, busy(proof)) }, Warn: func(w Warning) { s.fact(ctx, func(k *known) { k.doubt = w }) }})
	s.log.Info("switch", "route", r.Route, "model", result.Model, "took", time.Since(start).Round(time.Millisecond), "error", err)
	// What the switch wrote is read before it counts as done.
	n := s.nextLook()
	f := s.yard.lookAtFiles(ctx)
	facts := s.yard.lookAtSessions(f.status, &claude.Roster{}, &claude.Files{})
	if r.Route == claude.Offline && (err == nil || !errors.Is(err, context.Canceled)) {
		s.depart(ctx, one, &DepartureRequest{Model: r.Model, Context: r.Context, Failed: err}, err == nil) // a failure is told below
	}
	s.fact(ctx, func(k *known) {
		k.finish(t.id)
		k.doubt = Warning{}
		k.read(n, f, facts)
	})
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
	number int   // of that look
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
	d := l.s.door.Load()
	if d != nil {
		d.lead(ctx)
	}
	l.number = l.s.nextLook()
	l.files = l.s.yard.lookAtFiles(ctx)
	if d == nil {
		g := l.s.yard.lookAtGateway(ctx)
		l.s.fact(ctx, func(k *known) { k.gateway = g })
	}
	l.lookAtSessions(ctx)
}

// lookAtSessions reads their records alone, and waits for the end of each: one that
// is killed tells nobody.
func (l *fileLooker) lookAtSessions(ctx context.Context) {
	f, n := l.files, l.number
	facts := l.s.yard.lookAtSessions(f.status, &l.roster, l.cache)
	var folders []string
	for _, one := range facts.sessions {
		if one.stale {
			continue
		}
		folders = append(folders, filepath.Join(one.CWD, ".claude"))
		l.await(ctx, one.Session)
	}
	for _, p := range facts.places {
		l.await(ctx, p.session())
	}
	for _, session := range f.waiting {
		l.await(ctx, session)
	}
	l.watch.Update(folders)
	l.s.fact(ctx, func(k *known) { k.read(n, f, facts) })
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
