package keeper

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
)

const (
	// crashWindow and crashLimit are what counts as a crash loop.
	crashWindow = 10 * time.Minute
	crashLimit  = 5
	// firstPause is before the first start after an end: by then a stop or removal shows
	// whether the end was intended.
	firstPause = 500 * time.Millisecond
	lastPause  = time.Minute
	// startGrace is how long a runner may take from its start to its first answer.
	startGrace = time.Minute
	// silentGrace is how long a runner that answered before may be silent.
	silentGrace = 5 * time.Second
	// slowGrace is the same for a runner that accepts connections but does not answer: the
	// machine may be very busy.
	slowGrace = time.Minute
)

// policy decides what to do with the runner. All times are passed in.
type policy struct {
	needed    bool // Claude Code depends on the runner
	stopped   bool // a person stopped it
	allowed   bool // Switchyard may start it by itself
	requested bool // a request needs it now

	run          string      // of the last look; empty: none
	endedUnasked bool        // it ended, and as far as is known not on purpose
	crashes      []time.Time // in the last window
	notBefore    time.Time   // the next start or restart
	gaveUp       bool
	silentSince  time.Time // since when it has been running without answering
	jitter       func() float64
}

func newPolicy() policy { return policy{jitter: rand.Float64} }

// observe notes what a look shows. Call it before decide. ours says that Switchyard itself
// is starting or stopping the runner.
func (c *policy) observe(now time.Time, l localrunner.Look, ours bool) {
	if l.Seen.State == engine.Unknown && l.Seen.Problem != nil {
		return // the engine cannot be asked, so the run is unknown
	}
	switch before, run := c.run, l.Seen.Run; {
	case ours || l.Seen.Meant:
		c.endedUnasked = false
	case before != "" && run == "" && l.Seen.State != engine.Ending:
		c.endedUnasked = true
		c.delay(now)
	case before != "" && run != before, c.endedUnasked && run != "": // Docker's restart policy is quicker
		c.crash(now)
	}
	c.run = l.Seen.Run
	switch {
	case !l.MayAnswer() || l.Status.Err == nil:
		c.silentSince = time.Time{}
	case c.silentSince.IsZero():
		c.silentSince = now
	}
	if l.MayAnswer() && l.Status.Err == nil {
		c.gaveUp, c.requested = false, false // it may have been started by someone else
	}
}

// crash counts an unintended end or a failed start.
func (c *policy) crash(now time.Time) {
	c.endedUnasked = false
	c.crashes = slices.DeleteFunc(c.crashes, func(t time.Time) bool { return now.Sub(t) > crashWindow })
	if c.crashes = append(c.crashes, now); len(c.crashes) >= crashLimit {
		c.gaveUp = true
	}
}

// delay sets the earliest time of the next start: later after every crash, and with some
// jitter, so that not all Switchyards of a Docker start it at once.
func (c *policy) delay(now time.Time) {
	pause := min(firstPause<<min(c.restarts(now), 10), lastPause)
	c.notBefore = now.Add(time.Duration(float64(pause) * (0.8 + 0.4*c.jitter())))
}

// expectEnd says that the current run is about to end on purpose.
func (c *policy) expectEnd() { c.run, c.endedUnasked = "", false }

// restarts counts the crashes of the last ten minutes.
func (c *policy) restarts(now time.Time) (n int) {
	for _, t := range c.crashes {
		if now.Sub(t) <= crashWindow {
			n++
		}
	}
	return n
}

// reset forgets the crashes and the stop: a person asked for the runner.
func (c *policy) reset() {
	c.crashes, c.notBefore, c.gaveUp, c.stopped, c.endedUnasked = nil, time.Time{}, false, false, false
}

// decide says what to do now. If that is nothing, at is when to ask again; zero: after the
// next event.
func (c *policy) decide(now time.Time, l localrunner.Look) (do localrunner.Verb, at time.Time) {
	if !l.Seen.Controlled {
		return localrunner.Nothing, time.Time{}
	}
	if c.gaveUp {
		if l.Seen.State == engine.Ending && c.needed {
			return localrunner.Stop, time.Time{} // or Docker would keep restarting it
		}
		return localrunner.Nothing, time.Time{}
	}
	if c.stopped || !c.allowed || !c.needed && !c.requested {
		return localrunner.Nothing, time.Time{}
	}
	switch l.Seen.State {
	case engine.Stopped, engine.Absent:
		if !c.requested && (l.Seen.Meant || l.Seen.State == engine.Absent || l.Seen.Problem != nil) {
			return localrunner.Nothing, time.Time{}
		}
		if now.Before(c.notBefore) {
			return localrunner.Nothing, c.notBefore
		}
		return localrunner.Start, time.Time{}
	case engine.Running:
		if l.Status.Err == nil || l.Busy {
			return localrunner.Nothing, time.Time{}
		}
		var patience time.Duration
		switch {
		case !l.Seen.Since.IsZero() && now.Sub(l.Seen.Since) < startGrace:
			patience = startGrace
		case l.Status.Silent():
			patience = silentGrace
		case l.Status.Slow():
			patience = slowGrace
		default:
			return localrunner.Nothing, time.Time{} // another program on its port: a restart does not help
		}
		if due := c.silentSince.Add(patience); now.Before(due) {
			return localrunner.Nothing, due
		}
		if now.Before(c.notBefore) {
			return localrunner.Nothing, c.notBefore
		}
		return localrunner.Restart, time.Time{}
	}
	return localrunner.Nothing, time.Time{}
}

// startPending reports whether the stopped runner is about to be started again.
func (c *policy) startPending(l localrunner.Look) bool {
	return l.Seen.Controlled && l.Seen.State == engine.Stopped && !l.Seen.Meant && l.Seen.Problem == nil &&
		c.needed && c.allowed && !c.stopped && !c.gaveUp
}
