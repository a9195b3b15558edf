package service

import (
	"cmp"
	"context"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/network"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// What "auto" in the configuration may say.
const (
	autoAsk    = "ask"    // a notification suggests the switch
	autoSwitch = "switch" // it is done
	autoOff    = "off"
)

// Network is how far the machine's network goes, once that has settled.
type Network struct {
	Reach network.Reach `json:"reach"`
	Since time.Time     `json:"since,omitzero"`
}

// Advice is a switch that the network suggests. N counts them.
type Advice struct {
	N     int
	Route claude.Route
	Text  string
}

const (
	// goneFor and backFor are how long a network must be gone, or back, before that counts.
	goneFor = 10 * time.Second
	backFor = 20 * time.Second
	// adviseAgain is how long the same switch is not suggested a second time.
	adviseAgain = 10 * time.Minute
)

// sense decides what a network that comes and goes means. It belongs to the loop.
type sense struct {
	auto    string
	settled Network
	latest  network.Reach
	since   time.Time // of latest

	advice   Advice
	advised  map[claude.Route]time.Time // when it was suggested last
	lost     bool                       // the network went during this offline route, or before it
	before   claude.Route               // the route before this offline one
	from     claude.Route               // where it was switched from by itself; empty: it was not
	pending  claude.Route               // what shall be switched to when no request is under way; empty: nothing
	wasRoute claude.Route
}

func newSense(auto string) *sense {
	return &sense{auto: cmp.Or(auto, autoAsk), advised: map[claude.Route]time.Time{}}
}

// hear takes what the system says.
func (n *sense) hear(r network.Reach, now time.Time) {
	if r == n.latest && !n.since.IsZero() {
		return
	}
	if n.since.IsZero() {
		n.settled = Network{r, now} // the first word is believed
	}
	n.latest, n.since = r, now
}

// see takes a State and returns the route that is to be switched to now (empty: none),
// and when time alone may change that.
func (n *sense) see(s State, now time.Time) (to claude.Route, again time.Time) {
	if s.Route != n.wasRoute {
		n.before = n.wasRoute
		if n.wasRoute = s.Route; s.Route == claude.Offline {
			n.lost = n.settled.Reach == network.Offline || n.settled.Reach == network.Portal
		} else {
			n.from, n.lost = "", false
		}
		n.pending = ""
	}
	if n.latest != n.settled.Reach {
		need := goneFor
		if n.latest == network.Online {
			need = backFor
		}
		if due := n.since.Add(need); now.Before(due) {
			again = due
		} else {
			n.settled = Network{n.latest, n.since}
			n.turned(s, now)
		}
	}
	if n.pending != "" && s.Busy == "" && s.Gateway.Running == 0 && s.Gateway.Waiting == 0 {
		to, n.pending = n.pending, ""
		if to == claude.Offline {
			n.from = s.Route
		}
	}
	return to, again
}

// turned is a network that has gone for good, or come back.
func (n *sense) turned(s State, now time.Time) {
	n.pending = ""
	if s.Route != claude.Offline {
		n.from = "" // a switch that failed
	}
	online := n.settled.Reach == network.Online
	if !online && s.Route == claude.Offline {
		n.lost = true
	}
	var to claude.Route
	var text string
	switch {
	case n.auto == autoOff || n.settled.Reach == network.Unknown:
		return
	case !online && s.Route == claude.Cloud && s.usable():
		to, text = claude.Offline, words.T("The network is down and Claude Code uses the cloud. Switch to offline to keep working with %s.", s.fallback())
		if n.settled.Reach == network.Portal {
			text = words.T("This network requires a login and Claude Code uses the cloud. Switch to offline to keep working with %s.", s.fallback())
		}
	case online && s.Route == claude.Offline && n.lost && !s.Locked:
		to, text = cmp.Or(n.from, n.before, claude.Cloud), words.T("The network is back, and Claude Code is offline.")
	default:
		return
	}
	if n.auto == autoSwitch && (to == claude.Offline || n.from != "") {
		n.pending = to
		return
	}
	if last, ok := n.advised[to]; ok && now.Sub(last) < adviseAgain {
		return
	}
	n.advised[to] = now
	n.advice = Advice{n.advice.N + 1, to, text}
}

// usable tells whether there is a model that Claude Code could be switched to.
func (s State) usable() bool { return s.Chosen != "" || len(s.Models) > 0 }

// fallback names the model that a switch would take.
func (s State) fallback() string {
	if s.Chosen != "" {
		return runner.Short(s.Chosen)
	}
	return words.T("a model of this machine")
}

// watchNetwork hears of the network, where the system tells.
func (s *Supervisor) watchNetwork(ctx context.Context) {
	err := network.Watch(ctx, func(r network.Reach) {
		s.fact(ctx, func(k *known) { k.sense.hear(r, time.Now()) })
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the network is not watched", "error", err)
	}
}

// follow switches where the network has led, as the configuration wants it.
func (s *Supervisor) follow(ctx context.Context, to claude.Route) {
	s.log.Info("the network changed", "route", to)
	_ = s.Switch(ctx, Request{Route: to, Confirmed: true}) // a failure is in the State
}
