package keeper

import (
	"context"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
)

// scene makes a look at a runner.
func scene(state engine.State, run string, err error) localrunner.Look {
	l := localrunner.Look{Instance: localrunner.Instance{Engine: engine.Nowhere(nil), Seen: engine.Seen{State: state, Run: run, Controlled: true}}}
	l.Engine = plain{}
	l.Status.Err = err
	return l
}

// plain is an engine that has only a kind.
type plain struct{ engine.Engine }

func (plain) Kind() engine.Kind { return engine.Container }

var (
	refusedError = &runner.Error{Err: context.Canceled}
	slowError    = &runner.Error{Err: context.DeadlineExceeded}
	strangeError = &runner.Error{Status: 200}
)

func up2(run string) localrunner.Look { return scene(engine.Running, run, nil) }

func TestPolicy(t *testing.T) {
	meant := scene(engine.Stopped, "", nil)
	meant.Seen.Meant = true
	hidden := scene(engine.Unknown, "", refusedError)
	hidden.Seen.Problem = &engine.Error{Code: engine.DockerDown}
	foreign := scene(engine.Stopped, "", nil)
	foreign.Seen.Controlled = false
	fresh := scene(engine.Running, "a", refusedError)
	busy := scene(engine.Running, "a", slowError)
	busy.Busy = true
	begin := time.Now()
	fresh.Seen.Since = begin
	type step struct {
		after time.Duration // since the beginning
		look  localrunner.Look
	}
	tests := []struct {
		name  string
		care  policy
		steps []step
		want  localrunner.Verb
		at    time.Duration // when it would be time; 0: never, or now
	}{
		{"it runs", policy{}, []step{{0, up2("a")}}, localrunner.Nothing, 0},
		{"it is stopped when Switchyard comes", policy{}, []step{{0, scene(engine.Stopped, "", nil)}}, localrunner.Start, 0},
		{"an end, at once", policy{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}}, localrunner.Nothing, 1500 * time.Millisecond},
		{"an end, after the pause", policy{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}, {1600 * time.Millisecond, scene(engine.Stopped, "", nil)}}, localrunner.Start, 0},
		{"an end that turns out to be wanted", policy{}, []step{{0, up2("a")}, {time.Second, scene(engine.Stopped, "", nil)}, {2 * time.Second, meant}}, localrunner.Nothing, 0},
		{"a stop outside", policy{}, []step{{0, up2("a")}, {time.Second, meant}}, localrunner.Nothing, 0},
		{"a stop outside, and a request", policy{requested: true}, []step{{0, meant}}, localrunner.Start, 0},
		{"stopped by the person, and a request", policy{requested: true, stopped: true}, []step{{0, meant}}, localrunner.Nothing, 0},
		{"removed", policy{}, []step{{0, scene(engine.Absent, "", nil)}}, localrunner.Nothing, 0},
		{"the daemon is gone", policy{}, []step{{0, up2("a")}, {time.Second, hidden}}, localrunner.Nothing, 0},
		{"the daemon is back, with a new run", policy{}, []step{{0, up2("a")}, {time.Second, hidden}, {time.Minute, up2("b")}}, localrunner.Nothing, 0},
		{"not ours", policy{}, []step{{0, foreign}}, localrunner.Nothing, 0},
		{"it is starting", policy{}, []step{{0, fresh}, {30 * time.Second, fresh}}, localrunner.Nothing, time.Minute},
		{"it starts for too long", policy{}, []step{{0, fresh}, {61 * time.Second, fresh}}, localrunner.Restart, 0},
		{"nothing answers where something did", policy{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", refusedError)}}, localrunner.Nothing, 65 * time.Second},
		{"for too long", policy{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", refusedError)}, {66 * time.Second, scene(engine.Running, "a", refusedError)}}, localrunner.Restart, 0},
		{"it is slow", policy{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", slowError)}, {80 * time.Second, scene(engine.Running, "a", slowError)}}, localrunner.Nothing, 2 * time.Minute},
		{"it is slow for too long", policy{}, []step{{0, up2("a")}, {time.Minute, scene(engine.Running, "a", slowError)}, {2 * time.Minute, scene(engine.Running, "a", slowError)}}, localrunner.Restart, 0},
		{"it is slow and answers a request", policy{}, []step{{0, up2("a")}, {time.Minute, busy}, {3 * time.Minute, busy}}, localrunner.Nothing, 0},
		{"a stranger on its port", policy{}, []step{{0, scene(engine.Running, "a", strangeError)}, {time.Hour, scene(engine.Running, "a", strangeError)}}, localrunner.Nothing, 0},
		{"Docker starts it again itself", policy{}, []step{{0, up2("a")}, {time.Second, scene(engine.Ending, "", nil)}}, localrunner.Nothing, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.care
			c.allowed, c.needed, c.jitter = true, true, func() float64 { return 0.5 }
			if c.requested || c.stopped {
				c.needed = false
			}
			var now time.Time
			for _, s := range tt.steps {
				now = begin.Add(s.after)
				asked := c.requested
				c.observe(now, s.look, false)
				c.requested = asked
			}
			do, at := c.decide(now, tt.steps[len(tt.steps)-1].look)
			if want := begin.Add(tt.at); do != tt.want || at.IsZero() != (tt.at == 0) || tt.at != 0 && !at.Equal(want) {
				t.Errorf("%q at %s", do, at.Sub(begin))
			}
		})
	}
}

// Five crashes in ten minutes are too many; four and one later are not.
func TestACrashLoopEnds(t *testing.T) {
	for _, tt := range []struct {
		between time.Duration
		ends    int
		gaveUp  bool
	}{{time.Second, 4, false}, {time.Second, 5, true}, {2 * time.Minute, 5, true}, {3 * time.Minute, 50, false}} {
		c := policy{allowed: true, needed: true, jitter: func() float64 { return 0.5 }}
		now := time.Now()
		var pauses []time.Duration
		for range tt.ends {
			c.observe(now, up2("a"), false)
			c.observe(now, scene(engine.Stopped, "", nil), false)
			pauses = append(pauses, c.notBefore.Sub(now))
			c.crash(now)
			now = now.Add(tt.between)
		}
		if c.gaveUp != tt.gaveUp {
			t.Errorf("%d ends, one every %s: given up %t", tt.ends, tt.between, c.gaveUp)
		}
		if tt.between == time.Second && (pauses[0] != 500*time.Millisecond || pauses[3] != 4*time.Second) {
			t.Errorf("the pauses were %v", pauses)
		}
		if do, _ := c.decide(now, scene(engine.Ending, "", nil)); (do == localrunner.Stop) != tt.gaveUp {
			t.Errorf("Docker's own restarts: %q", do)
		}
		c.reset()
		if do, _ := c.decide(now, scene(engine.Stopped, "", nil)); do != localrunner.Start {
			t.Errorf("a person asks for it: %q", do)
		}
	}
}

// Docker's own restarts count too, whether a look sees them in progress or not.
func TestDockersOwnRestartsCount(t *testing.T) {
	c := policy{allowed: true, needed: true, jitter: func() float64 { return 0.5 }}
	now := time.Now()
	for _, l := range []localrunner.Look{up2("a"), scene(engine.Ending, "", nil), up2("b"), up2("c"), scene(engine.Stopped, "", nil), up2("d")} {
		now = now.Add(time.Second)
		c.observe(now, l, false)
	}
	if n := c.restarts(now); n != 3 {
		t.Errorf("%d, want 3", n)
	}
}

// The wall clock may jump: crashes that were counted stay.
func TestTheClockJumps(t *testing.T) {
	c := policy{allowed: true, needed: true, jitter: func() float64 { return 0.5 }}
	now := time.Now()
	c.observe(now, up2("a"), false)
	c.observe(now, scene(engine.Stopped, "", nil), false)
	c.crash(now)
	ahead := scene(engine.Running, "b", refusedError)
	ahead.Seen.Since = now.Round(0).Add(24 * time.Hour) // Docker's clock, before it was set back
	c.observe(now, ahead, true)
	if do, at := c.decide(now, ahead); do != localrunner.Nothing || at.Sub(now) > startGrace {
		t.Errorf("%q at %s", do, at)
	}
	if c.restarts(now) != 1 {
		t.Error("the end is forgotten")
	}
}
