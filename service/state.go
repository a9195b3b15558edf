// Package service is Switchyard's core: one State, the commands that change
// things, and the supervisor's loop that keeps the State true.
package service

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
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

	Chosen  string  `json:"chosen,omitempty"` // the model that the next switch to local takes
	Busy    string  `json:"busy,omitempty"`   // what is being done just now
	Doubt   Warning `json:"doubt,omitzero"`   // why what is being done may fail
	Failure Failure `json:"-"`                // the last command that failed

	Network Network `json:"network,omitzero"`
	Advice  Advice  `json:"-"` // the last switch that the network suggested

	Version   string           `json:"-"`
	Quiet     bool             `json:"-"` // no notifications are shown
	Raised    int              `json:"-"` // how often a second Switchyard was started
	Autostart autostart.Status `json:"-"`
	Update    release.Release  `json:"-"` // a newer version

	Departure Departure `json:"departure,omitzero"` // the last check before a departure

	Locked bool `json:"locked"` // the configuration forbids the cloud

	runs int // sessions that switchyard run started through the gateway
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

// RunnerState is how a runner is.
type RunnerState string

const (
	Running  RunnerState = "running"
	Starting RunnerState = "starting" // or started again
	Stopped  RunnerState = "stopped"  // it is there and does not run
	Absent   RunnerState = "absent"   // none was found
	Broken   RunnerState = "failed"   // it is there and does not work
)

// Runner is the Model Runner of this machine.
type Runner struct {
	State      RunnerState `json:"state"`
	Engine     engine.Kind `json:"engine"`
	URL        string      `json:"url"` // or the path of its socket
	Version    string      `json:"version"`
	Since      time.Time   `json:"since,omitzero"`   // of this state, when it is known
	Doing      string      `json:"doing,omitempty"`  // while it is being started or set up
	Reason     string      `json:"reason,omitempty"` // why it does not run, or does not work
	Remedy     string      `json:"remedy,omitempty"`
	Controlled bool        `json:"controlled"`          // it can be started and stopped from here
	Restarts   int         `json:"restarts,omitempty"`  // how often it was brought back in the last ten minutes
	ByPerson   bool        `json:"by_person,omitempty"` // stopped through Switchyard

	exposed     string // an address that other machines reach it at
	openOrigins bool
}

// warning is what a person should know of a runner that Claude Code depends on.
func (r Runner) warning() (w Warning, ok bool) {
	because := ""
	if r.Reason != "" {
		because = ": " + r.Reason
	}
	remedy := words.T("%s; or go back: switchyard cloud", cmp.Or(r.Remedy, words.T("start it: switchyard runner start")))
	switch {
	case r.State == Stopped && r.ByPerson:
		return Warning{"runner_stopped", words.T("Claude Code is pointed to Model Runner, which you stopped"), remedy}, true
	case r.State == Stopped && !r.Controlled && r.URL != "":
		return Warning{"runner_down", words.T("Claude Code is pointed to Model Runner, which does not answer at %s", r.URL), remedy}, true
	case r.State == Stopped || r.State == Absent:
		return Warning{"runner_down", words.T("Claude Code is pointed to Model Runner, which does not run") + because, remedy}, true
	case r.State == Broken:
		return Warning{"runner_failed", words.T("Model Runner does not work") + because, remedy}, true
	}
	return Warning{}, false
}

// exposure is what is dangerous about how the runner can be reached.
func (r Runner) exposure() (warnings []Warning) {
	switch {
	case r.exposed != "" && r.Engine == engine.Remote:
		warnings = append(warnings, Warning{"runner_plain_http", words.T("prompts travel to %s unencrypted", r.exposed), words.T("use https, or a tunnel: ssh -L 12434:127.0.0.1:12434 HOST and MODEL_RUNNER_HOST=http://127.0.0.1:12434")})
	case r.exposed != "":
		warnings = append(warnings, Warning{"runner_exposed", words.T("Model Runner is open to your network at %s: anybody there can use it and read prompts", r.exposed), words.T("close it: switchyard runner install --host 127.0.0.1")})
	}
	if r.openOrigins {
		warnings = append(warnings, Warning{"runner_open_origins", words.T("Model Runner lets every web page read prompts (DMR_ORIGINS=*)"), words.T("install it without DMR_ORIGINS: docker model reinstall-runner")})
	}
	return warnings
}

// Gateway is Switchyard's own server between Claude Code and the runner.
type Gateway struct {
	URL string `json:"url"` // empty: none runs
	gateway.Snapshot
}

// Model is a model in the runner's store.
type Model struct {
	Tag          string      `json:"tag"`
	ID           string      `json:"id"`
	Size         int64       `json:"size_bytes"`
	Context      int         `json:"context"` // tokens that it is loaded with
	Trained      int         `json:"trained_context,omitempty"`
	Quantization string      `json:"quantization,omitempty"`
	Loaded       bool        `json:"loaded"`
	InUse        bool        `json:"in_use"`               // it answers just now
	Tools        *bool       `json:"tools"`                // it calls tools; nil: nobody tried (switchyard check)
	Need         int64       `json:"need_bytes,omitempty"` // of graphics memory, estimated
	Fit          gpu.Verdict `json:"fit,omitempty"`
	Used         time.Time   `json:"used,omitzero"` // when Claude Code was pointed to it, or asked it, last
}

// Warning is something that a person should know, with what to do about it.
type Warning struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// Departure is what a check before a departure found. N counts those that a
// person shall hear of.
type Departure struct {
	N        int       `json:"n"`
	At       time.Time `json:"at"`
	Ready    bool      `json:"ready"`
	Failed   string    `json:"failed,omitempty"` // the first proof that does not hold, in words
	Remedy   string    `json:"remedy,omitempty"`
	Findings []Finding `json:"findings"`
}

// Failure is a command that failed. N counts them, so that the same one twice is two.
type Failure struct {
	N     int
	Title string
	Text  string
}

// Kind sorts errors by what a caller can do about them.
type Kind int

const (
	Failed      Kind = iota // something broke
	Refused                 // nothing was changed, for a reason that a person can remove
	Unreachable             // no runner answers
)

// Error is what every command returns: what was tried, why it did not work, what to do.
type Error struct {
	Kind              Kind
	What, Why, Remedy string
	Err               error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s; %s", e.What, e.Why, e.Remedy) }
func (e *Error) Unwrap() error { return e.Err }

// wants is what Claude Code needs of the runner.
type wants struct {
	route bool   // it is pointed there
	model string // the one that it asks for; empty: unknown
}

// needs is what Claude Code needs of the runner in a State.
func (s State) needs() wants {
	if s.Route == claude.Cloud && s.runs == 0 {
		return wants{}
	}
	return wants{route: true, model: s.Model}
}

// derive fills what follows from the rest, so that both faces say the same.
func (s State) derive(warnings []Warning) State {
	s.Warnings = warnings
	s.Route, s.Model = claude.Cloud, ""
	if len(s.Targets) > 0 {
		s.Route, s.Model = s.Targets[0].Route, s.Targets[0].Model
	}
	if s.gatewayInUse() && s.Gateway.URL == "" {
		s.Warnings = append(s.Warnings, Warning{"gateway_down", words.T("Claude Code is pointed to Switchyard's gateway, which does not run"),
			words.T("start Switchyard (switchyard), or go without it: switchyard local --direct")})
	}
	if s.Route != claude.Cloud || s.runs > 0 {
		if w, ok := s.Runner.warning(); ok {
			s.Warnings = append(s.Warnings, w)
		}
		s.Warnings = append(s.Warnings, s.Runner.exposure()...)
		if s.Runner.State == Running && s.Model != "" && !slices.ContainsFunc(s.Models, func(m Model) bool { return m.Tag == s.Model || m.ID == s.Model }) {
			s.Warnings = append(s.Warnings, Warning{"model_missing", words.T("Model Runner no longer has %s", runner.Short(s.Model)),
				words.T("pull it (switchyard pull %s) or choose another model", runner.Short(s.Model))})
		}
	}
	return s
}
