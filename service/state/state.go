// Package state is what the faces show: one State, and the values in it. They are values: what they hold is replaced, never changed in place.
package state

import (
	"time"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/release"
)

// State is everything the faces show. It is a value: what it holds is replaced, never changed in place.
type State struct {
	Route    claude.Route `json:"route"`          // of the first target
	Since    time.Time    `json:"since,omitzero"` // of this route, when it is known
	Lean     bool         `json:"lean"`           // new local sessions have the lean profile
	Model    string       `json:"model"`          // full tag; empty in the cloud
	Context  int          `json:"context"`        // tokens; 0 when unknown or in the cloud
	BaseURL  string       `json:"base_url"`       // empty: Anthropic
	Targets  []Target     `json:"targets"`
	Runner   Runner       `json:"runner"`
	Gateway  Gateway      `json:"gateway"`
	Models   []Model      `json:"models"`
	VRAM     VRAM         `json:"vram"`
	Contexts []ContextFit `json:"contexts,omitempty"` // of the model in use
	Pulls    []Pull       `json:"pulls"`
	Sessions []Session    `json:"sessions"`
	Warnings []Warning    `json:"warnings"`

	Chosen   string    `json:"chosen,omitempty"` // the model that the next switch to local takes
	Busy     string    `json:"busy,omitempty"`   // what is being done just now
	Doubt    Warning   `json:"doubt,omitzero"`   // why what is being done may fail
	Failures []Failure `json:"-"`                // the last commands that failed, at most KeptFailures, the newest last

	Network Network `json:"network,omitzero"`
	Advice  Advice  `json:"-"` // the last switch that the network suggested

	Version   string           `json:"-"`
	Quiet     bool             `json:"-"` // no notifications are shown
	Raised    int              `json:"-"` // how often a second Switchyard was started
	Autostart autostart.Status `json:"-"`
	Update    release.Release  `json:"-"` // a newer version

	Departure Departure `json:"departure,omitzero"` // the last check before a departure

	Locked bool `json:"locked"` // the configuration forbids the cloud

	Runs int `json:"-"` // sessions that switchyard run started through the gateway
}

// Target is one Claude Code configuration.
type Target struct {
	Dir     string       `json:"dir"`
	File    string       `json:"file"`
	Route   claude.Route `json:"route"`
	Model   string       `json:"model"`
	Way     claude.Way   `json:"way"`    // how its requests get to the runner
	Direct  string       `json:"direct"` // the runner's own address, for when the gateway ends; empty: only the gateway reaches it
	Drift   []string     `json:"drift"`  // owned variables that somebody changed after the switch
	Waiting int          `json:"waiting,omitempty"`
}

// Gateway is Switchyard's own server between Claude Code and the runner.
type Gateway struct {
	URL string `json:"url"` // empty: none runs
	gateway.Snapshot
}

// Served tells whether any session was seen.
func (g Gateway) Served() bool { return len(g.Sessions) > 0 }

// Warning is something that a person should know, with what to do about it.
type Warning struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// KeptFailures is how many failures a State holds: whoever reads only the newest State
// misses none unless there were more since the one before.
const KeptFailures = 8

// Failure is a command that failed. N counts them, so that the same one twice is two.
type Failure struct {
	N     int
	Title string
	Text  string
}

// FailuresSince are those that an older State did not have yet.
func (s State) FailuresSince(before State) (fresh []Failure) {
	last := 0
	if n := len(before.Failures); n > 0 {
		last = before.Failures[n-1].N
	}
	for _, f := range s.Failures {
		if f.N > last {
			fresh = append(fresh, f)
		}
	}
	return fresh
}
