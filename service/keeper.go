package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// keeper watches the runner and keeps it as it is wanted. Its one goroutine
// decides; looks and efforts, which take long, are done beside it, one of each at
// a time.
type keeper struct {
	options keeperOptions
	acts    bool // it may start and stop, and does not only look

	asks    chan ask
	wishes  chan struct{} // for a look, at most one waiting
	wants   chan wants
	serves  chan ending
	ailing  atomic.Bool // a request that is served well is news
	changed chan struct{}
	looked  chan look
	done    chan outcome

	// What follows belongs to the loop.
	care    care
	last    look
	looks   int  // counts them
	known   bool // last is a look
	looking bool
	again   bool // something happened since the look began
	effort  *effort
	waiting []ask
	wanted  wants
	tryNext bool   // it was started: the model is tried as soon as it answers
	stuck   bool   // the last start failed for a reason that only a person can remove
	reason  string // why it was given up, or an engine that could not be cured
	remedy  string
	version string // of the run that is up
	address string // where a container answered last
	cured   map[string]time.Time
	pause   time.Duration // until the next look
	watched engine.Engine
	unwatch func()
	watches sync.WaitGroup
}

// keeperOptions are what a keeper works on, and whom it tells. The functions are
// called by its loop, and must not wait for it.
type keeperOptions struct {
	yard *Yard
	log  *slog.Logger

	busy   func() bool                         // an answer is on its way through the gateway
	looked func(context.Context, look)         // hears of every look
	report func(context.Context, runnerReport) // hears how the runner is
	shown  func(context.Context)               // returns when the State shows all that was reported
	moved  func()                              // the targets were led to another address
}

// runnerReport is how the runner is.
type runnerReport struct {
	runner Runner
	look   int // counts the looks: two reports with the same one have the same models
	models []runner.Model
	loaded []runner.Loaded
}

// ask is a wish for the runner.
type ask struct {
	do      Control // nothing: that it answers
	person  bool    // not merely a request
	settled bool    // it was done
	ctx     context.Context
	done    chan error
}

// effort is what is being done with the runner.
type effort struct {
	do    Control // nothing: an engine is being tried
	doing string
	model string
	end   context.CancelFunc
	left  bool // somebody wants something else
}

// outcome is how an effort ended.
type outcome struct {
	*effort
	err error
}

const (
	// settleEvents is how long the events of one end are gathered.
	settleEvents = 100 * time.Millisecond
	// firstWatch and lastWatch are how often a runner is asked for its models while
	// Claude Code depends on it: less often the longer nothing happens.
	firstWatch = 30 * time.Second
	lastWatch  = 2 * time.Minute
	// downWatch and startWatch are the first pauses while it is down, and while it starts.
	downWatch  = time.Second
	startWatch = 50 * time.Millisecond
	// cureAgain is how long a model's engine is not cured a second time.
	cureAgain = 10 * time.Minute
	// effortTime bounds one start, stop or restart.
	effortTime = 2 * time.Minute
)

func newKeeper(options keeperOptions) *keeper {
	return &keeper{
		options: options, asks: make(chan ask), wishes: make(chan struct{}, 1), wants: make(chan wants, 1), serves: make(chan ending, 1),
		changed: make(chan struct{}, 1), looked: make(chan look), done: make(chan outcome),
		care: newCare(), cured: map[string]time.Time{}, unwatch: func() {},
	}
}

// act says, before it runs, whether the keeper may start and stop.
func (k *keeper) act(acts bool) {
	k.acts, k.care.allowed, k.care.stopped = acts, acts && k.options.yard.mayStart(), k.options.yard.stoppedByPerson()
}

// wish asks for a look, without waiting for it.
func (k *keeper) wish() { wake.Notify(k.wishes) }

// want tells what Claude Code needs from now on.
func (k *keeper) want(w wants) {
	for {
		select {
		case k.wants <- w:
			return
		case <-k.wants: // an older wish that was not taken yet
		}
	}
}

// ending is how a request ended.
type ending struct {
	model string
	why   gateway.Reason // empty: well
}

// serve hears how a request ended.
func (k *keeper) serve(model string, why gateway.Reason) {
	switch {
	case why == gateway.RunnerDown || why == gateway.EngineFailed || why == gateway.Broken:
	case why == "" && k.ailing.Load():
	default:
		return
	}
	select {
	case k.serves <- ending{model, why}:
	default: // one is being looked into
	}
}

// do asks for something and waits until it is done.
func (k *keeper) do(ctx context.Context, v Control, person bool) error {
	a := ask{do: v, person: person, ctx: ctx, done: make(chan error, 1)}
	select {
	case k.asks <- a:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *keeper) run(ctx context.Context) {
	defer k.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.changed:
			if settled == nil {
				settled = time.After(settleEvents)
			}
			continue
		case <-settled:
			settled = nil
			k.pause = 0
			k.look(ctx)
		case <-k.wishes:
			k.pause = 0
			k.look(ctx)
		case w := <-k.wants:
			if w == k.wanted {
				continue
			}
			if w.model != k.wanted.model {
				k.reason, k.remedy = "", ""
			}
			k.wanted, k.pause = w, 0
			k.care.wanted = w.route
			k.look(ctx)
		case l := <-k.looked:
			k.took(ctx, l)
		case a := <-k.asks:
			k.asked(ctx, a)
		case r := <-k.serves:
			k.suspect(ctx, r)
		case o := <-k.done:
			k.ended(ctx, o)
		case <-timer.C:
			if !k.looking {
				k.look(ctx)
			}
		}
		due := k.decide(ctx)
		k.tell(ctx)
		k.reply(ctx)
		timer.Reset(due)
	}
}

// close ends what the keeper started; its own runner too.
func (k *keeper) close() {
	if k.effort != nil {
		k.effort.end()
		<-k.done
	}
	if k.looking {
		<-k.looked
	}
	for _, a := range k.waiting {
		a.done <- &Error{Kind: Failed, What: "starting Model Runner", Why: "Switchyard is ending", Remedy: "start it again: switchyard"}
	}
	k.unwatch()
	k.watches.Wait()
	if own, ok := k.watched.(interface{ Close() }); ok {
		own.Close()
	}
}

// look begins a look, or has the one that is under way repeated.
func (k *keeper) look(ctx context.Context) {
	if k.looking {
		k.again = true
		return
	}
	k.looking = true
	e, version := k.watched, k.version
	// Only what was not found is looked for again: an engine that hesitates must not
	// make another one of it.
	if k.known && k.effort == nil && (k.last.seen.State == engine.Absent || k.last.seen.State == engine.Unknown && k.last.seen.Problem == nil) {
		e = nil
	}
	old := k.watched
	go func() { k.looked <- k.options.yard.lookWith(ctx, e, old, k.acts, version) }()
}

// lookWith looks with an engine, or with the one that it finds.
func (y *Yard) lookWith(ctx context.Context, e, old engine.Engine, owner bool, version string) look {
	if e == nil {
		var err error
		if e, err = y.engine(ctx, owner); err != nil {
			problem := &engine.Error{Code: engine.Failed}
			problem.Why, problem.Remedy = why(err)
			return look{found: found{engine.Nowhere(problem), engine.Seen{State: engine.Absent, Problem: problem}}}
		}
		if old != nil && same(e, old) {
			e = old // it remembers
		}
	}
	l := look{found: found{e, e.Look(ctx)}}
	if l.asked() {
		l.api = l.ask(ctx, version)
	}
	return l
}

// same tells whether two searches found the same engine.
func same(a, b engine.Engine) bool { return a.Kind() == b.Kind() && a.Place() == b.Place() }

// took takes a look over.
func (k *keeper) took(ctx context.Context, l look) {
	k.looking = false
	if ctx.Err() != nil {
		return
	}
	if l.engine != k.watched {
		k.rewatch(ctx, l.engine)
	}
	now := time.Now()
	l.busy = k.options.busy()
	before, changed := k.last, !k.known || !reflect.DeepEqual(describeLook(k.last), describeLook(l))
	k.last, k.known = l, true
	k.looks++
	k.care.see(now, l, k.effort != nil && k.effort.do != nothing)
	if before.seen.Run != l.seen.Run || l.api.err != nil {
		k.version = ""
	}
	if l.asked() && l.api.err == nil {
		k.version = l.api.version
		if before.seen.Run != l.seen.Run {
			k.reason, k.remedy = "", ""
		}
		if k.tryNext && k.effort == nil && k.wanted.model != "" {
			k.tryNext = false
			k.try(ctx, k.wanted.model, false)
		}
	}
	k.moved(ctx, l)
	k.options.looked(ctx, l)
	k.backOff(l, changed)
	if k.again {
		k.again = false
		k.look(ctx)
	}
}

func describeLook(l look) any {
	if l.engine == nil {
		return nil
	}
	return l.describe(l.api)
}

// moved has the targets follow a container that answers at another address than before.
func (k *keeper) moved(ctx context.Context, l look) {
	if l.engine.Kind() != engine.Container || !l.asked() || l.api.err != nil {
		return
	}
	address := l.endpoint().BaseURL()
	if k.acts && k.address != "" && k.address != address {
		k.options.yard.follow(ctx, k.options.log, k.address, address)
		k.options.moved()
	}
	k.address = address
}

// backOff sets when to look again while Claude Code depends on the runner.
func (k *keeper) backOff(l look, changed bool) {
	first, last := firstWatch, lastWatch
	switch {
	case l.seen.State == engine.Stopped || l.seen.State == engine.Absent: // its engine tells when that changes
	case l.asked() && l.api.err == nil:
		if l.engine.Kind() != engine.Container && l.engine.Kind() != engine.Process || !l.seen.Controlled {
			last = firstWatch // no event tells of its end
		}
	case k.effort != nil || l.seen.State == engine.Running && !l.seen.Since.IsZero() && time.Since(l.seen.Since) < startGrace:
		first, last = startWatch, time.Second
	default:
		first, last = downWatch, firstWatch
	}
	if changed || k.pause == 0 || k.pause > last {
		k.pause = first
	} else {
		k.pause = min(2*k.pause, last)
	}
}

// rewatch follows the events of another engine.
func (k *keeper) rewatch(ctx context.Context, e engine.Engine) {
	k.unwatch()
	if own, ok := k.watched.(interface{ Close() }); ok {
		own.Close()
	}
	var watching context.Context
	watching, k.unwatch = context.WithCancel(ctx)
	k.watched = e
	k.watches.Go(func() { e.Watch(watching, func() { wake.Notify(k.changed) }) })
}

// asked takes a wish.
func (k *keeper) asked(ctx context.Context, a ask) {
	refuse := func(kind Kind, why, remedy string) {
		a.done <- &Error{Kind: kind, What: "starting Model Runner", Why: why, Remedy: remedy}
	}
	const byHand = "start it: switchyard runner start"
	switch {
	case !k.acts:
		refuse(Refused, "this Switchyard only looks", byHand)
		return
	case a.do == nothing && a.person:
		k.care.forgive() // a switch: whoever wants the route wants the runner
		k.options.yard.rememberStop(false)
	case a.do == nothing && k.care.stopped:
		refuse(Refused, "you stopped it", byHand)
		return
	case a.do == nothing && !k.care.allowed:
		refuse(Refused, "it does not run, and start_runner in config.toml forbids to start it", byHand)
		return
	case a.do == nothing && k.care.gaveUp:
		refuse(Failed, k.reason, k.remedy)
		return
	case a.do == StopRunner:
		k.care.stopped = true
		k.options.yard.rememberStop(true)
	case a.do != nothing:
		k.care.forgive()
		k.options.yard.rememberStop(false)
	}
	if a.do == nothing {
		k.care.asked = true
	} else {
		k.reason, k.remedy, k.stuck = "", "", false
	}
	if k.effort != nil && a.do != nothing && a.do != k.effort.do {
		k.effort.left = true
		k.effort.end()
	}
	k.waiting = append(k.waiting, a)
	k.look(ctx)
}

// decide begins what is to be done and returns when to look again.
func (k *keeper) decide(ctx context.Context) time.Duration {
	const never = 24 * time.Hour
	if !k.known {
		return never
	}
	if k.effort == nil && !k.looking {
		for _, a := range k.waiting {
			if a.do != nothing {
				k.begin(ctx, a.do)
				return never
			}
		}
		now := time.Now()
		if k.care.gaveUp && k.reason == "" {
			k.giveUp(ctx, "")
		}
		do, at := k.care.decide(now, k.last)
		if do == StartRunner && k.care.lost || do == RestartRunner {
			if k.care.crash(now); k.care.gaveUp {
				do = nothing
				k.giveUp(ctx, "")
			}
		}
		switch {
		case do != nothing:
			k.begin(ctx, do)
			return never
		case !at.IsZero():
			return max(at.Sub(now), 0)
		}
	}
	if k.effort != nil && k.effort.do != nothing || !k.wanted.route && len(k.waiting) == 0 {
		return never // the effort looks itself; and in the cloud nothing depends on the runner: it is left alone
	}
	return k.pause
}

// begin starts an effort.
func (k *keeper) begin(ctx context.Context, v Control) {
	one, end := context.WithTimeout(ctx, effortTime)
	o := &effort{do: v, doing: doingRunner[v], end: end}
	k.effort, k.pause = o, startWatch
	k.care.expect()
	e := k.watched
	k.options.log.Info("runner", "do", v, "engine", e.Kind())
	go func() {
		defer end()
		var err error
		switch v {
		case StartRunner:
			err = e.Start(one)
		case RestartRunner:
			err = e.Restart(one)
		case StopRunner:
			err = e.Stop(one)
		}
		if err == nil && v != StopRunner {
			err = untilHealthy(one, e)
		}
		k.done <- outcome{o, k.options.yard.wordEngine(v, err)}
	}()
}

var gerund = map[Control]string{StartRunner: "starting Model Runner", RestartRunner: "restarting Model Runner", StopRunner: "stopping Model Runner"}

var doingRunner = map[Control]string{StartRunner: words.Key("starting…"), RestartRunner: words.Key("restarting…"), StopRunner: words.Key("stopping…")}

// untilHealthy waits until a runner that was started answers. Nothing announces that.
func untilHealthy(ctx context.Context, e engine.Engine) error {
	for pause := startWatch; ; pause = min(2*pause, time.Second) {
		f := found{e, e.Look(ctx)}
		switch {
		case f.seen.State == engine.Stopped || f.seen.State == engine.Absent:
			return &engine.Error{Code: engine.Failed, Why: "it was started and ended at once" + because(f.seen.Why), Remedy: "see its log: switchyard runner logs"}
		case f.asked() && f.ask(ctx, "?").err == nil:
			return nil
		}
		select {
		case <-ctx.Done():
			return &engine.Error{Code: engine.Failed, Why: "it was started and does not answer", Remedy: "see its log: switchyard runner logs"}
		case <-time.After(pause):
		}
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// ended takes an effort's end over.
func (k *keeper) ended(ctx context.Context, o outcome) {
	k.effort = nil
	if ctx.Err() != nil {
		return
	}
	switch {
	case o.do == nothing:
		k.tried(ctx, o)
		return
	case o.left:
		o.err = &Error{Kind: Failed, What: gerund[o.do], Why: "superseded by a newer command", Remedy: "try again"}
	}
	var rest []ask
	for _, a := range k.waiting {
		switch {
		case o.err != nil && (a.do == o.do || a.do == nothing):
			a.done <- o.err
			continue
		case a.do == o.do:
			a.do, a.settled = nothing, true // told after the next look, when the State shows it
		}
		rest = append(rest, a)
	}
	k.waiting, k.care.asked = rest, false
	k.care.expect()
	now := time.Now()
	switch {
	case o.left:
	case o.err != nil:
		k.options.log.Warn("runner", "do", o.do, "error", o.err)
		if k.stuck = needsPerson(o.err); o.do != StopRunner && !k.stuck {
			k.care.crash(now)
		}
		k.care.delay(now)
		k.reason, k.remedy = why(o.err)
		if k.care.gaveUp {
			k.giveUp(ctx, k.reason)
		}
	case o.do != StopRunner:
		k.reason, k.remedy = "", ""
		k.tryNext = k.wanted.route
	}
	k.pause = 0
	k.look(ctx)
}

// needsPerson tells whether trying again cannot help.
func needsPerson(err error) bool {
	var e *engine.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case engine.NotInstalled, engine.NoPlugin, engine.NoProgram, engine.NoLlamaServer, engine.DockerDenied, engine.DockerRemote, engine.NoDocker:
		return true
	}
	return false
}

// giveUp says once why the runner is not started again.
func (k *keeper) giveUp(ctx context.Context, reason string) {
	k.reason = reason
	if reason == "" {
		k.reason = fmt.Sprintf("it ended %d times in ten minutes", len(k.care.crashes))
		if k.last.seen.Why != "" {
			k.reason += ", last because " + k.last.seen.Why
		}
	}
	k.remedy = "see its log (switchyard runner logs), then start it: switchyard runner start"
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if k.watched.Logs(ctx, &log, 200, false) == nil {
		if lines := telling(log.String()); len(lines) > 0 {
			k.reason += ". Its log says: " + strings.Join(lines, " / ")
		}
	}
	k.options.log.Error("Model Runner is given up", "crashes", len(k.care.crashes))
}

var (
	trouble = regexp.MustCompile(`(?i)\b(error|fatal|panic|failed|cannot|unable|out of memory|no such|denied|already in use|terminated|killed|segmentation|signal)\b`)
	// spoken marks lines that may hold what was said to a model.
	spoken = regexp.MustCompile(`(?i)"?(content|messages|prompt|text|system)"?\s*[:=]`)
)

// telling are the last lines of a log that say what went wrong, shortened, and
// without any that could hold words of a prompt.
func telling(log string) (lines []string) {
	const few, long = 2, 160
	all := strings.Split(log, "\n")
	for i := len(all) - 1; i >= 0 && len(lines) < few; i-- {
		line := strings.Join(strings.Fields(all[i]), " ")
		if !trouble.MatchString(line) || spoken.MatchString(line) {
			continue
		}
		if runes := []rune(line); len(runes) > long {
			line = string(runes[:long]) + "…"
		}
		if len(lines) > 0 && lines[0] == line {
			continue
		}
		lines = append([]string{line}, lines...)
	}
	return lines
}

// suspect tries a model whose engine failed a request.
func (k *keeper) suspect(ctx context.Context, r ending) {
	model := r.model
	if r.why == "" {
		k.reason, k.remedy = "", ""
		return
	}
	if model == "" || r.why == gateway.RunnerDown || !k.acts || !k.wanted.route || k.effort != nil || !k.known || !k.last.asked() || k.last.api.err != nil {
		k.look(ctx)
		return
	}
	k.try(ctx, model, true)
}

// try has the model answer the smallest message. With cure, an engine that fails is
// unloaded and loaded, then its runner restarted.
func (k *keeper) try(ctx context.Context, model string, cure bool) {
	if at, ok := k.cured[model]; ok && time.Since(at) < cureAgain {
		cure = false
	}
	one, end := context.WithCancel(ctx)
	o := &effort{model: model, end: end}
	k.effort = o
	f := k.last.found
	go func() {
		defer end()
		k.done <- outcome{o, tryModel(one, f, model, cure)}
	}()
}

// cureError says that unloading and loading did not help.
type cureError struct{ error }

func (e cureError) Unwrap() error { return e.error }

// tryTime bounds one try, a load included.
const tryTime = 6 * time.Minute

func tryModel(ctx context.Context, f found, model string, cure bool) error {
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	answers := func() error {
		ctx, cancel := context.WithTimeout(ctx, tryTime)
		defer cancel()
		return client.Answers(ctx, model)
	}
	err := answers()
	if !runner.Crashed(err) || !cure || ctx.Err() != nil {
		return err
	}
	if _, err := client.Unload(ctx, model); err == nil {
		if err = answers(); !runner.Crashed(err) {
			return err
		}
	}
	return cureError{err}
}

// tried takes over how a model did.
func (k *keeper) tried(ctx context.Context, o outcome) {
	var uncured cureError
	switch {
	case o.left:
	case o.err == nil:
		k.reason, k.remedy = "", ""
	case errors.As(o.err, &uncured) && k.last.seen.Controlled && k.care.allowed:
		k.options.log.Warn("a dead engine: restarting Model Runner", "model", o.model, "error", o.err)
		k.cured[o.model] = time.Now()
		k.begin(ctx, RestartRunner)
	case runner.Crashed(o.err) || runner.OutOfMemory(o.err):
		k.reason = "it lists its models, but " + runner.Short(o.model) + " does not answer: " + reason(o.err)
		k.remedy = "choose another model, or restart it: switchyard runner restart"
		var failed *runner.Error
		if errors.As(o.err, &failed) && runner.OutOfMemory(o.err) {
			k.remedy = failed.Remedy
		}
	}
	k.look(ctx)
}

// reply answers those who wait, when the State shows what they wait for.
func (k *keeper) reply(ctx context.Context) {
	if !k.known || k.looking || len(k.waiting) == 0 {
		return
	}
	k.options.shown(ctx)
	var rest []ask
	for _, a := range k.waiting {
		switch {
		case a.ctx.Err() != nil:
		case a.settled:
			a.done <- nil
		case a.do != nothing:
			rest = append(rest, a)
		case k.last.asked() && k.last.api.err == nil:
			a.done <- nil
		case k.effort == nil && !k.last.seen.Controlled:
			a.done <- &Error{Kind: Unreachable, What: "starting Model Runner", Why: k.last.describe(k.last.api).Reason, Remedy: k.last.remedy()}
		case k.effort == nil && k.last.seen.Problem != nil && k.last.seen.State == engine.Unknown:
			a.done <- engineError("starting Model Runner", k.last.seen.Problem)
		default:
			rest = append(rest, a)
		}
	}
	k.waiting = rest
}

// tell puts the runner into the State.
func (k *keeper) tell(ctx context.Context) {
	if !k.known {
		return
	}
	r := k.last.describe(k.last.api)
	now := time.Now()
	r.Restarts = k.care.restarts(now)
	r.ByPerson = r.State == Stopped && k.care.stopped
	switch {
	case k.effort != nil && k.effort.do != nothing:
		if r.State != Running || k.effort.do != StartRunner {
			r.State, r.Doing, r.Reason, r.Remedy = Starting, k.effort.doing, "", ""
			if k.effort.do == StopRunner {
				r.State = Stopped
			}
		}
	case r.State == Stopped && !k.stuck && k.care.pending(k.last):
		r.State, r.Doing, r.Reason = Starting, "restarting…", k.last.seen.Why // it is about to be started again
	case k.reason != "" && (r.State == Running || k.care.gaveUp || r.State == Stopped && !r.ByPerson && !k.last.seen.Meant):
		r.State, r.Reason, r.Remedy = Broken, k.reason, k.remedy
	case r.State == Broken && k.last.seen.State == engine.Running && now.Sub(k.last.seen.Since) < startGrace && k.last.api.silent():
		r.State, r.Doing, r.Reason, r.Remedy = Starting, "starting…", "", "" // it was started by somebody
	}
	k.ailing.Store(k.reason != "")
	k.options.report(ctx, runnerReport{r, k.looks, k.last.api.models, k.last.api.loaded})
}
