package service

import (
	"context"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
)

// scene is a runner as a look shows it.
func scene(state engine.State, run string, err error) look {
	l := look{found: found{engine.Nowhere(nil), engine.Seen{State: state, Run: run, Controlled: true}}}
	l.engine = plain{}
	l.api.err = err
	return l
}

// plain is an engine of which only the kind is asked.
type plain struct{ engine.Engine }

func (plain) Kind() engine.Kind { return engine.Container }

var (
	refusedError = &runner.Error{Err: context.Canceled}
	slowError    = &runner.Error{Err: context.DeadlineExceeded}
	strangeError = &runner.Error{Status: 200}
)

func up2(run string) look { return scene(engine.Running, run, nil) }

func TestCare(t *testing.T) {
	meant := scene(engine.Stopped, "", nil)
	meant.seen.Meant = true
	hidden := scene(engine.Unknown, "", refusedError)
	hidden.seen.Problem = &engine.Error{Code: engine.DockerDown}
	foreign := scene(engine.Stopped, "", nil)
	foreign.seen.Controlled = false
	fresh := scene(engine.Running, "a", refusedError)
	busy := scene(engine.Running, "a", slowError)
	busy.busy = true
	begin := time.Now()
	fresh.seen.Since = begin
	type step struct {
		after time.Duration // since the beginning
		look  look
	}
	tests := []struct {
		name  string
		care  care
		steps []step
		want  Control
		at    time.Duration // when it would be time; 0: never, or now
	}{
		{"it runs", care{}, []step{{0, up2("a")}}, nothing, 0},
		{"it is stopped when Switchyard comes", care{}, []step{{0, scene(engine.Stopped, "", nil)}}, StartRunner, 0},
		{"an end, at once", care{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}}, nothing, 1500 * time.Millisecond},
		{"an end, after the pause", care{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}, {1600 * time.Millisecond, scene(engine.Stopped, "", nil)}}, StartRunner, 0},
		{"an end that turns out to be wanted", care{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}, {2 * time.Second, meant}}, nothing, 0},
		{"a stop outside", care{}, []step{{0, up2("a")}, {time.Second, meant}}, nothing, 0},
		{"a stop outside, and a request", care{asked: true}, []step{{0, meant}}, StartRunner, 0},
		{"stopped by the person, and a request", care{asked: true, stopped: true}, []step{{0, meant}}, nothing, 0},
		{"removed", care{}, []step{{0, scene(engine.Absent, "", nil)}}, nothing, 0},
		{"the daemon is gone", care{}, []step{{0, up2("a")}, {time.Second, hidden}}, nothing, 0},
		{"the daemon is back, with a new run", care{}, []step{{0, up2("a")}, {time.Second, hidden}, {time.Minute, up2("b")}}, nothing, 0},
		{"not ours", care{}, []step{{0, foreign}}, nothing, 0},
		{"it is starting", care{}, []step{{0, fresh}, {30 * time.Second, fresh}}, nothing, time.Minute},
		{"it starts for too long", care{}, []step{{0, fresh}, {61 * time.Second, fresh}}, RestartRunner, 0},
		{"nothing answers where something did", care{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", refusedError)}}, nothing, 65 * time.Second},
		{"for too long", care{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", refusedError)}, {66 * time.Second, scene(engine.Running, "a", refusedError)}}, RestartRunner, 0},
		{"it is slow", care{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", slowError)}, {80 * time.Second, scene(engine.Running, "a", slowError)}}, nothing, 2 * time.Minute},
		{"it is slow for too long", care{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", slowError)}, {2 * time.Minute, scene(engine.Running, "a", slowError)}}, RestartRunner, 0},
		{"it is slow and answers a request", care{}, []step{{0, up2("a")}, {time.Minute, busy}, {3 * time.Minute, busy}}, nothing, 0},
		{"a stranger on its port", care{}, []step{{0, scene(engine.Running, "a", strangeError)}, {time.Hour, scene(engine.Running, "a", strangeError)}}, nothing, 0},
		{"Docker starts it again itself", care{}, []step{{0, up2("a")}, {time.Second, scene(engine.Ending, "", nil)}}, nothing, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.care
			c.allowed, c.wanted, c.jitter = true, true, func() float64 { return 0.5 }
			if c.asked || c.stopped {
				c.wanted = false
			}
			var now time.Time
			for _, s := range tt.steps {
				now = begin.Add(s.after)
				asked := c.asked
				c.see(now, s.look, false)
				c.asked = asked
			}
			do, at := c.decide(now, tt.steps[len(tt.steps)-1].look)
			if want := begin.Add(tt.at); do != tt.want || at.IsZero() != (tt.at == 0) || tt.at != 0 && !at.Equal(want) {
				t.Errorf("%q at %s", do, at.Sub(begin))
			}
		})
	}
}

// Five ends in ten minutes are enough; four and one later are not.
func TestACrashLoopEnds(t *testing.T) {
	for _, tt := range []struct {
		between time.Duration
		ends    int
		gaveUp  bool
	}{{time.Second, 4, false}, {time.Second, 5, true}, {2 * time.Minute, 5, true}, {3 * time.Minute, 50, false}} {
		c := care{allowed: true, wanted: true, jitter: func() float64 { return 0.5 }}
		now := time.Now()
		var pauses []time.Duration
		for range tt.ends {
			c.see(now, up2("a"), false)
			c.see(now, scene(engine.Stopped, "", nil), false)
			pauses = append(pauses, c.notYet.Sub(now))
			c.crash(now)
			now = now.Add(tt.between)
		}
		if c.gaveUp != tt.gaveUp {
			t.Errorf("%d ends, one every %s: given up %t", tt.ends, tt.between, c.gaveUp)
		}
		if tt.between == time.Second && (pauses[0] != 500*time.Millisecond || pauses[3] != 4*time.Second) {
			t.Errorf("the pauses were %v", pauses)
		}
		if do, _ := c.decide(now, scene(engine.Ending, "", nil)); (do == StopRunner) != tt.gaveUp {
			t.Errorf("Docker's own restarts: %q", do)
		}
		c.forgive()
		if do, _ := c.decide(now, scene(engine.Stopped, "", nil)); do != StartRunner {
			t.Errorf("a person asks for it: %q", do)
		}
	}
}

// Docker's own restarts count too, whether they are seen on their way or not.
func TestDockersOwnRestartsCount(t *testing.T) {
	c := care{allowed: true, wanted: true, jitter: func() float64 { return 0.5 }}
	now := time.Now()
	for _, l := range []look{up2("a"), scene(engine.Ending, "", nil), up2("b"), up2("c"), scene(engine.Stopped, "", nil), up2("d")} {
		now = now.Add(time.Second)
		c.see(now, l, false)
	}
	if n := c.restarts(now); n != 3 {
		t.Errorf("%d, want 3", n)
	}
}

// The clock of the wall may jump: what was counted stays.
func TestTheClockJumps(t *testing.T) {
	c := care{allowed: true, wanted: true, jitter: func() float64 { return 0.5 }}
	now := time.Now()
	c.see(now, up2("a"), false)
	c.see(now, scene(engine.Stopped, "", nil), false)
	c.crash(now)
	ahead := scene(engine.Running, "b", refusedError)
	ahead.seen.Since = now.Round(0).Add(24 * time.Hour) // Docker's clock, before it was set back
	c.see(now, ahead, true)
	if do, at := c.decide(now, ahead); do != nothing || at.Sub(now) > startGrace {
		t.Errorf("%q at %s", do, at)
	}
	if c.restarts(now) != 1 {
		t.Error("the end is forgotten")
	}
}
