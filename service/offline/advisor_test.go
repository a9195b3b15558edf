package offline

import (
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/network"
	"github.com/switchyard-app/switchyard/service/state"
)

// journey plays a changing network to an Advisor, as the loop does: it calls Update when the
// Advisor asked for that, and when something happens.
type journey struct {
	n     *Advisor
	s     state.State
	now   time.Time
	due   time.Time
	moves []claude.Route
}

func newJourney(auto string, route claude.Route) *journey {
	j := &journey{n: NewAdvisor(auto), s: state.State{Route: route, Chosen: "docker.io/ai/tiny:latest"}, now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	j.setReach(network.Online)
	return j
}

func (j *journey) look() {
	var to claude.Route
	if to, j.due = j.n.Update(j.s, j.now); to != "" {
		j.moves = append(j.moves, to)
		j.s.Route = to
		j.look()
	}
}

func (j *journey) setReach(r network.Reach) {
	j.n.SetReach(r, j.now)
	j.look()
}

func (j *journey) pass(d time.Duration) {
	end := j.now.Add(d)
	for !j.due.IsZero() && !j.due.After(end) {
		j.now = j.due
		j.look()
	}
	j.now = end
}

func TestANetworkThatFlaps(t *testing.T) {
	for _, pause := range []time.Duration{50 * time.Millisecond, 3 * time.Second, 9 * time.Second} {
		for _, auto := range []string{config.AutoAsk, config.AutoSwitch, config.AutoOff} {
			j := newJourney(auto, claude.Cloud)
			for range 100 {
				j.setReach(network.Offline)
				j.pass(pause)
				j.setReach(network.Online)
				j.pass(pause)
			}
			if j.n.Advice.N != 0 || len(j.moves) != 0 {
				t.Errorf("%s, every %s: %d suggestions, %v", auto, pause, j.n.Advice.N, j.moves)
			}
			j.setReach(network.Offline)
			j.pass(time.Hour)
			if told, moved := j.n.Advice.N, len(j.moves); auto == config.AutoAsk && (told != 1 || moved != 0) || auto == config.AutoSwitch && (told != 0 || moved != 1) || auto == config.AutoOff && told+moved != 0 {
				t.Errorf("%s, every %s, then gone: %d suggestions, %v", auto, pause, told, j.moves)
			}
		}
	}
	// Slow enough to count each time, but the switch is not suggested again and again.
	j := newJourney(config.AutoAsk, claude.Cloud)
	for range 100 {
		j.setReach(network.Offline)
		j.pass(15 * time.Second)
		j.setReach(network.Online)
		j.pass(25 * time.Second)
	}
	if want := 7; j.n.Advice.N != want { // in 67 minutes
		t.Errorf("%d suggestions, want %d", j.n.Advice.N, want)
	}
}

func TestNoSwitchInMidRequest(t *testing.T) {
	j := newJourney(config.AutoSwitch, claude.Cloud)
	j.s.Gateway.Running = 1
	j.setReach(network.Offline)
	j.pass(time.Minute)
	if len(j.moves) != 0 {
		t.Fatalf("moved while a request was under way: %v", j.moves)
	}
	j.s.Gateway.Running = 0
	j.look()
	if len(j.moves) != 1 || j.moves[0] != claude.Offline {
		t.Fatalf("moved %v", j.moves)
	}
	j.s.Gateway.Waiting = 1
	j.setReach(network.Online)
	j.pass(time.Minute)
	j.setReach(network.Offline) // gone again before the request ended
	j.pass(time.Minute)
	j.s.Gateway.Waiting = 0
	j.look()
	if len(j.moves) != 1 {
		t.Fatalf("moved back although the network is gone: %v", j.moves)
	}
	j.setReach(network.Online)
	j.pass(time.Minute)
	if len(j.moves) != 2 || j.moves[1] != claude.Cloud {
		t.Errorf("moved %v", j.moves)
	}
}

func TestWhatTheNetworkSuggests(t *testing.T) {
	for _, c := range []struct {
		name   string
		auto   string
		route  claude.Route
		change func(*state.State)
		reach  []network.Reach
		advice claude.Route
		move   claude.Route
	}{
		{name: "gone in the cloud", route: claude.Cloud, reach: []network.Reach{network.Offline}, advice: claude.Offline},
		{name: "a portal", route: claude.Cloud, reach: []network.Reach{network.Portal}, advice: claude.Offline},
		{name: "gone, no model", route: claude.Cloud, change: func(s *state.State) { s.Chosen = "" }, reach: []network.Reach{network.Offline}},
		{name: "gone in the local route", route: claude.Local, reach: []network.Reach{network.Offline}},
		{name: "a flight in the offline route", route: claude.Offline, reach: []network.Reach{network.Offline, network.Online}, advice: claude.Cloud},
		{name: "offline by choice, with a network", route: claude.Offline, reach: []network.Reach{network.Online}},
		{name: "a flight, the cloud forbidden", route: claude.Offline, change: func(s *state.State) { s.Locked = true }, reach: []network.Reach{network.Offline, network.Online}},
		{name: "switched by a person, back by suggestion", auto: config.AutoSwitch, route: claude.Offline, reach: []network.Reach{network.Offline, network.Online}, advice: claude.Cloud},
		{name: "switched by itself", auto: config.AutoSwitch, route: claude.Cloud, reach: []network.Reach{network.Portal}, move: claude.Offline},
		{name: "and back", auto: config.AutoSwitch, route: claude.Cloud, reach: []network.Reach{network.Portal, network.Offline, network.Online}, move: claude.Cloud},
		{name: "unknown", route: claude.Cloud, reach: []network.Reach{network.Unknown}},
	} {
		j := newJourney(c.auto, c.route)
		if c.change != nil {
			c.change(&j.s)
		}
		for _, r := range c.reach {
			j.setReach(r)
			j.pass(time.Minute)
		}
		if j.n.Advice.Route != c.advice {
			t.Errorf("%s: suggested %q", c.name, j.n.Advice.Route)
		}
		var last claude.Route
		if len(j.moves) > 0 {
			last = j.moves[len(j.moves)-1]
		}
		if last != c.move {
			t.Errorf("%s: moved %v", c.name, j.moves)
		}
	}
}
