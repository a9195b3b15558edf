// Package state is what the tray and the command line show: one State, and the types in
// it. All are values: what they hold is replaced, never changed in place.
package state

import (
	"fmt"
	"time"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/words"
)

// State is everything that the tray and "switchyard status" show.
type State struct {
	Route    claude.Route `json:"route"`          // of the first target
	Since    time.Time    `json:"since,omitzero"` // of this route, if known
	Lean     bool         `json:"lean"`           // new local sessions get the lean profile
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
	Busy     string    `json:"busy,omitempty"`   // the task in progress, for the menu
	Doubt    Warning   `json:"doubt,omitzero"`   // why that task may fail
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

	Runs int `json:"-"` // sessions of switchyard run that use the gateway
}

// Target is a Claude Code configuration that switches change.
type Target struct {
	Dir     string       `json:"dir"`
	File    string       `json:"file"`
	Route   claude.Route `json:"route"`
	Model   string       `json:"model"`
	Way     claude.Way   `json:"way"`               // how its requests get to the runner
	Direct  string       `json:"direct"`            // the runner's own address, used when the gateway ends; empty: only the gateway reaches the runner
	Drift   []string     `json:"drift"`             // variables that were changed after the switch, not by Switchyard
	Waiting int          `json:"waiting,omitempty"` // sessions that must end before the file is fully restored
	Holders []Holder     `json:"holders,omitempty"` // these sessions
	Empty   []string     `json:"empty,omitempty"`   // the variables that are "" until then, whatever another program or a shell sets
}

// Holder is a session for whose sake variables stay "" after a switch to the cloud.
type Holder struct {
	PID    int    `json:"pid"`
	Folder string `json:"folder"`
}

// Held names the Holders, for messages.
func (t Target) Held() string {
	var names []string
	for _, h := range t.Holders {
		names = append(names, fmt.Sprintf("process %d in %s", h.PID, h.Folder))
	}
	return words.Some(names)
}

// Gateway is what the server between Claude Code and the runner is doing.
type Gateway struct {
	URL string `json:"url"` // empty: none runs
	gateway.Snapshot
}

// Served reports whether the gateway has seen any session.
func (g Gateway) Served() bool { return len(g.Sessions) > 0 }

// Warning is a problem to show, with what to do about it. docs/troubleshooting.md
// explains every code.
type Warning struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// KeptFailures is how many failures a State holds: whoever reads only the newest State
// misses none unless there were more since the previous one.
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
