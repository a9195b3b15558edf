package state

import (
	"cmp"
	"time"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/words"
)

// RunnerState is the state of a runner.
type RunnerState string

// The states of a runner.
const (
	Running      RunnerState = "running"
	Starting     RunnerState = "starting" // or restarting
	Stopped      RunnerState = "stopped"  // installed, not running
	Absent       RunnerState = "absent"   // not found
	RunnerFailed RunnerState = "failed"   // running or not, it does not work
)

// Runner is the Model Runner of this machine.
type Runner struct {
	State      RunnerState `json:"state"`
	Engine     engine.Kind `json:"engine"`
	URL        string      `json:"url"` // or the path of its socket
	Version    string      `json:"version"`
	Since      time.Time   `json:"since,omitzero"`   // of this state, if known
	Doing      string      `json:"doing,omitempty"`  // while it is being started or stopped: what to show
	Reason     string      `json:"reason,omitempty"` // why it does not run or does not work
	Remedy     string      `json:"remedy,omitempty"`
	Controlled bool        `json:"controlled"`          // Switchyard can start and stop it
	Restarts   int         `json:"restarts,omitempty"`  // in the last ten minutes, after crashes
	ByPerson   bool        `json:"by_person,omitempty"` // stopped by a person, through Switchyard

	Exposed     string `json:"-"` // an address at which other machines reach it; empty: none
	OpenOrigins bool   `json:"-"` // any web page may send it requests
}

// Warning is the warning about a runner that Claude Code depends on; ok is false if it
// works or is starting.
func (r Runner) Warning() (w Warning, ok bool) {
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
		return Warning{"runner_down", words.T("Claude Code is pointed to Model Runner, which is not running") + because, remedy}, true
	case r.State == RunnerFailed:
		return Warning{"runner_failed", words.T("Model Runner does not work") + because, remedy}, true
	}
	return Warning{}, false
}

// Exposure warns of a runner that others can reach or overhear.
func (r Runner) Exposure() (warnings []Warning) {
	switch {
	case r.Exposed != "" && r.Engine == engine.Remote:
		warnings = append(warnings, Warning{"runner_plain_http", words.T("prompts travel to %s unencrypted", r.Exposed), words.T("use https, or a tunnel: ssh -L 12434:127.0.0.1:12434 HOST and MODEL_RUNNER_HOST=http://127.0.0.1:12434")})
	case r.Exposed != "":
		warnings = append(warnings, Warning{"runner_exposed", words.T("Model Runner is open to your network at %s: anyone there can use it and read prompts", r.Exposed), words.T("close it: switchyard runner install --host 127.0.0.1")})
	}
	if r.OpenOrigins {
		warnings = append(warnings, Warning{"runner_open_origins", words.T("Model Runner lets every web page read prompts (DMR_ORIGINS=*)"), words.T("install it without DMR_ORIGINS: docker model reinstall-runner")})
	}
	return warnings
}

// Needs is what Claude Code needs of the runner.
type Needs struct {
	Route bool   // it is pointed to the runner
	Model string // the model it asks for; empty: unknown
}
