package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/power"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	flight     = 24 * time.Hour // how long a login must be valid
	batteryLow = 30             // per cent
)

// Departure says what to check before going offline.
type Departure struct {
	Folder  string // in which Claude Code will work; empty: none in particular
	Model   string // empty: the chosen one. A fix that repackages the model sets it
	Context int    // required tokens; 0: the model's own
	Failed  error  // what switching.Check returned; nil: the proofs passed
}

// CheckDeparture returns what would go wrong without a network, the worst first: problems of
// the set-up, what needs the network, and the failed proof if it can be fixed. The proofs
// themselves are run by switching.Check.
func CheckDeparture(ctx context.Context, m *machine.Machine, r *Departure) []state.Finding {
	d := &doctor{machine: m}
	d.proofCures(r)
	d.setUp(ctx)
	d.past(r.Folder)
	d.onboarding()
	d.login(time.Now())
	d.servers(r.Folder)
	d.helpers(r.Folder)
	d.olderSessions(ctx)
	d.tracking(ctx)
	d.battery(power.System)
	return d.sorted()
}

// proofCures adds the fix for the failed proof, if there is one.
func (d *doctor) proofCures(r *Departure) {
	var unknown *runner.UnknownModelError
	var proof *runner.ProofError
	switch {
	case errors.As(r.Failed, &unknown) && unknown.Name != "":
		d.add(state.Finding{Code: "proof_model", Severity: state.SeverityError, Text: unknown.Why(), Remedy: "pull it", Command: "switchyard pull " + unknown.Name,
			Cure: func(ctx context.Context) error {
				_, err := pulls.Pull(ctx, d.machine, unknown.Name, func(state.Pull) {})
				return err
			}})
	case errors.As(r.Failed, &proof) && proof.Proof.Name == "context":
		name, tokens := cmp.Or(r.Model, d.machine.Chosen()), max(r.Context, runner.MinContext)
		if name == "" {
			return
		}
		d.add(state.Finding{Code: "proof_context", Severity: state.SeverityError, Text: "the context is too small: " + proof.Proof.Detail, Remedy: "repackage it", Command: "switchyard context " + name + " " + words.Tokens(tokens),
			Cure: func(ctx context.Context) error {
				made, _, err := models.Resize(ctx, d.machine, name, tokens)
				if err == nil && r.Model == "" && d.machine.Config.Model == "" {
					err = d.machine.Choose(made)
				}
				if err == nil {
					r.Model = made
				}
				return err
			}})
	}
}

// past finds what takes Claude Code past the settings of the offline route.
func (d *doctor) past(folder string) {
	scope := d.machine.Scope(folder)
	if name := cmp.Or(scope.Past(), scope.Ignores()); name != "" {
		d.add(state.Finding{Code: "goes_past", Severity: state.SeverityError, Text: name + " in this environment makes Claude Code bypass its settings, so it would not be offline",
			Remedy: "start claude without it, or with switchyard run"})
	}
}

// olderSessions finds sessions that did not start on the offline route.
func (d *doctor) olderSessions(ctx context.Context) {
	var names []string
	for _, one := range status.Sessions(ctx, d.machine, false) {
		if one.Route != claude.Offline {
			names = append(names, one.Name())
		}
	}
	if len(names) > 0 {
		d.add(state.Finding{Code: "sessions_before", Severity: state.SeverityWarning, Text: words.Count(len(names), "session", "sessions") + " did not start on the offline route and may use the network: " + words.Some(names),
			Remedy: "after the switch, end them and start them again (claude --continue)"})
	}
}

// tracking finds a runner that sends usage statistics. One that Switchyard starts does not
// (DO_NOT_TRACK=1).
func (d *doctor) tracking(ctx context.Context) {
	f, err := localrunner.Find(ctx, d.machine)
	if err != nil {
		return
	}
	finding := state.Finding{Code: "runner_tracks", Severity: state.SeverityWarning}
	switch {
	case f.Engine.Kind() == engine.Container && f.Seen.Tracks:
		finding.Text, finding.Remedy, finding.Command = "Model Runner's container reports to Docker which models are used (no DO_NOT_TRACK=1)", "recreate it", "switchyard runner install"
		finding.Cure = func(ctx context.Context) error {
			return localrunner.Install(ctx, d.machine, engine.Install{}, func(string) {})
		}
	case f.Engine.Kind() == engine.Desktop:
		finding.Text, finding.Remedy = "Docker Desktop may report to Docker which models are used", `turn off "Send usage statistics" in its settings`
	default:
		return
	}
	d.add(finding)
}

// battery warns of a laptop whose battery will not last.
func (d *doctor) battery(dir string) {
	for _, b := range power.Batteries(dir) {
		if b.Discharging && b.Charge < batteryLow {
			d.add(state.Finding{Code: "battery_low", Severity: state.SeverityWarning, Text: fmt.Sprintf("the battery is at %d %%: a local model uses a lot of power", b.Charge), Remedy: "charge it"})
		}
	}
}
