package offline

import (
	"cmp"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/network"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	// goneFor and backFor are how long a network must be gone, or back, before that counts.
	goneFor = 10 * time.Second
	backFor = 20 * time.Second
	// adviseAgain is how long the same switch is not suggested a second time.
	adviseAgain = 10 * time.Minute
)

// Sense decides what a network that comes and goes means. It belongs to the loop.
type Advisor struct {
	auto    string
	Settled state.Network
	latest  network.Reach
	since   time.Time // of latest

	Advice   state.Advice
	advised  map[claude.Route]time.Time // when it was suggested last
	lost     bool                       // the network went during this offline route, or before it
	before   claude.Route               // the route before this offline one
	from     claude.Route               // where it was switched from by itself; empty: it was not
	pending  claude.Route               // what shall be switched to when no request is under way; empty: nothing
	wasRoute claude.Route
}

func NewAdvisor(auto string) *Advisor {
	return &Advisor{auto: cmp.Or(auto, config.AutoAsk), advised: map[claude.Route]time.Time{}}
}

// Hear takes what the system says.
func (n *Advisor) SetReach(r network.Reach, now time.Time) {
	if r == n.latest && !n.since.IsZero() {
		return
	}
	if n.since.IsZero() {
		n.Settled = state.Network{Reach: r, Since: now} // the first word is believed
	}
	n.latest, n.since = r, now
}

// See takes a State and returns the route that is to be switched to now (empty: none),
// and when time alone may change that.
func (n *Advisor) Update(s state.State, now time.Time) (to claude.Route, again time.Time) {
	if s.Route != n.wasRoute {
		n.before = n.wasRoute
		if n.wasRoute = s.Route; s.Route == claude.Offline {
			n.lost = n.Settled.Reach == network.Offline || n.Settled.Reach == network.Portal
		} else {
			n.from, n.lost = "", false
		}
		n.pending = ""
	}
	if n.latest != n.Settled.Reach {
		need := goneFor
		if n.latest == network.Online {
			need = backFor
		}
		if due := n.since.Add(need); now.Before(due) {
			again = due
		} else {
			n.Settled = state.Network{Reach: n.latest, Since: n.since}
			n.settled(s, now)
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
func (n *Advisor) settled(s state.State, now time.Time) {
	n.pending = ""
	if s.Route != claude.Offline {
		n.from = "" // a switch that failed
	}
	online := n.Settled.Reach == network.Online
	if !online && s.Route == claude.Offline {
		n.lost = true
	}
	var to claude.Route
	var text string
	switch {
	case n.auto == config.AutoOff || n.Settled.Reach == network.Unknown:
		return
	case !online && s.Route == claude.Cloud && s.Usable():
		to, text = claude.Offline, words.T("The network is down and Claude Code uses the cloud. Switch to offline to keep working with %s.", s.Fallback())
		if n.Settled.Reach == network.Portal {
			text = words.T("This network requires a login and Claude Code uses the cloud. Switch to offline to keep working with %s.", s.Fallback())
		}
	case online && s.Route == claude.Offline && n.lost && !s.Locked:
		to, text = cmp.Or(n.from, n.before, claude.Cloud), words.T("The network is back, and Claude Code is offline.")
	default:
		return
	}
	if n.auto == config.AutoSwitch && (to == claude.Offline || n.from != "") {
		n.pending = to
		return
	}
	if last, ok := n.advised[to]; ok && now.Sub(last) < adviseAgain {
		return
	}
	n.advised[to] = now
	n.Advice = state.Advice{N: n.Advice.N + 1, Route: to, Text: text}
}
