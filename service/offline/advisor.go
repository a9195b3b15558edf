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
	// goneFor and backFor are how long the network must be gone, or back, before it counts.
	goneFor = 10 * time.Second
	backFor = 20 * time.Second
	// adviseAgain is how long the same switch is not suggested again.
	adviseAgain = 10 * time.Minute
)

// Advisor decides whether to switch, or to suggest it, when the network goes or comes back. It
// is for one goroutine.
type Advisor struct {
	auto    string        // see config.Config
	Settled state.Network // without short interruptions
	latest  network.Reach // as last reported
	since   time.Time     // of latest

	Advice   state.Advice               // the last one
	advised  map[claude.Route]time.Time // when it was last suggested
	lost     bool                       // the network went before or during the current offline route
	before   claude.Route               // the route before the current one
	from     claude.Route               // the route before a switch by itself; empty: the user switched
	pending  claude.Route               // what to switch to when no request is in progress; empty: nothing
	wasRoute claude.Route
}

// NewAdvisor makes an Advisor; auto is as in config.Config.
func NewAdvisor(auto string) *Advisor {
	return &Advisor{auto: cmp.Or(auto, config.AutoAsk), advised: map[claude.Route]time.Time{}}
}

// SetReach takes what the system reports.
func (n *Advisor) SetReach(r network.Reach, now time.Time) {
	if r == n.latest && !n.since.IsZero() {
		return
	}
	if n.since.IsZero() {
		n.Settled = state.Network{Reach: r, Since: now} // the first report counts at once
	}
	n.latest, n.since = r, now
}

// Update takes a State. It returns the route to switch to now, if any, and when to call it
// again without an event; zero: never. It may set Advice.
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

// settled decides what to do about a network that is gone or back for long enough.
func (n *Advisor) settled(s state.State, now time.Time) {
	n.pending = ""
	if s.Route != claude.Offline {
		n.from = "" // that switch failed
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
