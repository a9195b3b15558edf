package service

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
)

// care decides what is to be done for a runner. It knows no time but what it is told.
type care struct {
	wanted  bool // Claude Code depends on the runner
	stopped bool // a person stopped it
	allowed bool // Switchyard may start it by itself
	asked   bool // a request asked for it

	run     string      // the run that was seen last
	lost    bool        // it ended and nobody is known to have wanted that
	crashes []time.Time // in the last window
	notYet  time.Time   // no new start before
	gaveUp  bool
	deaf    time.Time // since when it runs and does not answer
	jitter  func() float64
}

const (
	// crashWindow and crashLimit are what counts as a crash loop.
	crashWindow = 10 * time.Minute
	crashLimit  = 5
	// firstPause is before the first start after an end: what follows it, a stop or
	// a removal, says whether somebody wanted it.
	firstPause = 500 * time.Millisecond
	lastPause  = time.Minute
	// startGrace is how long a runner may take from its start to its first answer.
	startGrace = time.Minute
	// deafGrace is how long nothing may answer where something did.
	deafGrace = 5 * time.Second
	// slowGrace is the same for a runner that accepts and does not answer: its
	// machine may be very busy.
	slowGrace = time.Minute
)

// pending tells whether the stopped runner is about to be started again.
func (c *care) pending(l look) bool {
	return l.seen.Controlled && l.seen.State == engine.Stopped && !l.seen.Meant && l.seen.Problem == nil &&
		c.wanted && c.allowed && !c.stopped && !c.gaveUp
}

// Control is something to be done with a runner.
type Control string

const (
	nothing       Control = ""
	StartRunner   Control = "start"
	RestartRunner Control = "restart"
	StopRunner    Control = "stop"
)

// look is what was seen of a runner at one moment.
type look struct {
	found
	api  api
	busy bool // an answer is on its way through the gateway
}

// see notes what a look shows, before anything is decided. ours says that
// Switchyard itself is just starting or stopping the runner.
func (c *care) see(now time.Time, l look, ours bool) {
	if l.seen.State == engine.Unknown && l.seen.Problem != nil {
		return // the engine cannot be asked: nothing is known of the run
	}
	switch before, run := c.run, l.seen.Run; {
	case ours || l.seen.Meant:
		c.lost = false
	case before != "" && run == "" && l.seen.State != engine.Ending:
		c.lost = true
		c.delay(now)
	case before != "" && run != before, c.lost && run != "": // Docker's restart policy is quicker
		c.crash(now)
	}
	c.run = l.seen.Run
	switch {
	case !l.asked() || l.api.err == nil:
		c.deaf = time.Time{}
	case c.deaf.IsZero():
		c.deaf = now
	}
	if l.asked() && l.api.err == nil {
		c.gaveUp, c.asked = false, false // it may have been brought up by somebody
	}
}

// crash counts an end that nobody wanted, or a start that failed.
func (c *care) crash(now time.Time) {
	c.lost = false
	c.crashes = slices.DeleteFunc(c.crashes, func(t time.Time) bool { return now.Sub(t) > crashWindow })
	if c.crashes = append(c.crashes, now); len(c.crashes) >= crashLimit {
		c.gaveUp = true
	}
}

// delay sets when the next start may be: later after every crash, and never for
// all Switchyards at the same moment.
func (c *care) delay(now time.Time) {
	pause := min(firstPause<<min(c.restarts(now), 10), lastPause)
	c.notYet = now.Add(time.Duration(float64(pause) * (0.8 + 0.4*c.jitter())))
}

// expect says that the next run is not the one of before, and that this is no crash.
func (c *care) expect() { c.run, c.lost = "", false }

// restarts counts the ends of the last ten minutes.
func (c *care) restarts(now time.Time) (n int) {
	for _, t := range c.crashes {
		if now.Sub(t) <= crashWindow {
			n++
		}
	}
	return n
}

// forgive begins anew: a person asked for the runner.
func (c *care) forgive() {
	c.crashes, c.notYet, c.gaveUp, c.stopped, c.lost = nil, time.Time{}, false, false, false
}

// decide says what to do now; when there is something to do later, at is its time.
func (c *care) decide(now time.Time, l look) (do Control, at time.Time) {
	if !l.seen.Controlled {
		return nothing, time.Time{}
	}
	if c.gaveUp {
		if l.seen.State == engine.Ending && c.wanted {
			return StopRunner, time.Time{} // else Docker goes on trying
		}
		return nothing, time.Time{}
	}
	if c.stopped || !c.allowed || !c.wanted && !c.asked {
		return nothing, time.Time{}
	}
	switch l.seen.State {
	case engine.Stopped, engine.Absent:
		if !c.asked && (l.seen.Meant || l.seen.State == engine.Absent || l.seen.Problem != nil) {
			return nothing, time.Time{}
		}
		if now.Before(c.notYet) {
			return nothing, c.notYet
		}
		return StartRunner, time.Time{}
	case engine.Running:
		if l.api.err == nil || l.busy {
			return nothing, time.Time{}
		}
		var patience time.Duration
		switch {
		case !l.seen.Since.IsZero() && now.Sub(l.seen.Since) < startGrace:
			patience = startGrace
		case l.api.silent():
			patience = deafGrace
		case l.api.slow():
			patience = slowGrace
		default:
			return nothing, time.Time{} // a stranger on its port: a restart cures nothing
		}
		if due := c.deaf.Add(patience); now.Before(due) {
			return nothing, due
		}
		if now.Before(c.notYet) {
			return nothing, c.notYet
		}
		return RestartRunner, time.Time{}
	}
	return nothing, time.Time{}
}

func newCare() care { return care{jitter: rand.Float64} }
