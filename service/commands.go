package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/login"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// Switch moves Claude Code to another route, cancelling a switch that is still
// running. It returns when the switch is done; a failure is in the State as well.
func (s *Supervisor) Switch(ctx context.Context, r switching.Request) error {
	c := command{r, make(chan error, 1)}
	select {
	case s.commands <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// performSwitch does one switch. ctx is the supervisor's; one ends with the command.
func (s *Supervisor) performSwitch(ctx, one context.Context, r switching.Request) error {
	t := s.startTask(ctx, proofText(""))
	start := time.Now()
	result, err := switching.Switch(one, s.machine, r, localrunner.Progress{Begin: func(proof string) { t.setText(ctx, proofText(proof)) }, Warn: func(w state.Warning) { s.update(ctx, func(k *known) { k.doubt = w }) }})
	s.log.Info("switch", "route", r.Route, "model", result.Model, "took", time.Since(start).Round(time.Millisecond), "error", err)
	// The State must show what the switch wrote before the command returns.
	n := s.nextLook()
	f := settings.Read(ctx, s.machine)
	facts := sessions.Look(s.machine, f.Status, &claude.Roster{}, &claude.Files{})
	if r.Route == claude.Offline && (err == nil || !errors.Is(err, context.Canceled)) {
		s.reportDeparture(ctx, one, &doctor.Departure{Model: r.Model, Context: r.Context, Failed: err}, err == nil) // a failure is reported below
	}
	s.update(ctx, func(k *known) {
		k.finish(t.id)
		k.doubt = state.Warning{}
		k.read(n, f, facts)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(ctx, words.T("Could not switch to %s", words.T(string(r.Route))), err)
	}
	s.Refresh()
	return err
}

// proofText is what the menu shows while a proof runs.
func proofText(proof string) string {
	switch proof {
	case "message":
		return words.Key("Loading the model…")
	case "system_message", "tool_call":
		return words.Key("Trying the model…")
	}
	return words.Key("Switching…")
}

// Choose sets the model for the next switch to local. On the local or offline route it switches at once.
func (s *Supervisor) Choose(ctx context.Context, tag string) error {
	if now := s.State(); now.Route != claude.Cloud {
		direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct // as it is
		return s.Switch(ctx, switching.Request{Route: now.Route, Model: tag, Direct: direct})
	}
	defer wake.Notify(s.lookFiles)
	var err error = &fault.Error{Kind: fault.Refused, What: "choosing " + tag, Why: "the configuration says which model a switch takes", Remedy: `change "model" in ` + s.machine.Paths.Config}
	if s.machine.Config.Model == "" {
		err = s.machine.Choose(tag)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not choose the model"), err)
	}
	return err
}

// Resize repackages a model with a context of that many tokens. If Claude Code uses
// the model, it is switched to the new one.
func (s *Supervisor) Resize(ctx context.Context, tag string, tokens int) error {
	t := s.startTask(ctx, words.Key("Repackaging the model…"))
	made, current, err := models.Resize(ctx, s.machine, tag, tokens)
	t.end(ctx)
	s.keeper.Look()
	if err != nil {
		s.failed(ctx, words.Key("Could not change the context"), err)
		return err
	}
	if !current {
		return nil
	}
	return s.Choose(ctx, made)
}

// SetLean remembers whether new local sessions get the lean profile, and updates the
// settings if the route is local or offline. Running sessions keep what they started with.
func (s *Supervisor) SetLean(ctx context.Context, on bool) error {
	err := s.machine.SetLean(on)
	if err != nil {
		s.failed(ctx, words.Key("Could not change the lean profile"), err)
		return err
	}
	defer wake.Notify(s.lookFiles)
	now := s.State()
	if now.Route == claude.Cloud {
		return nil
	}
	direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct
	return s.Switch(ctx, switching.Request{Route: now.Route, Model: now.Model, Context: now.Context, Direct: direct, Force: true}) // no proofs: the model stays the same
}

// SetQuiet turns notifications off or on. It fails if the configuration already decides.
func (s *Supervisor) SetQuiet(ctx context.Context, quiet bool) {
	err := error(&fault.Error{Kind: fault.Refused, Why: "the configuration says whether there are notifications", Remedy: `change "notifications" in ` + s.machine.Paths.Config})
	if s.machine.Config.Notifications == nil {
		err = s.machine.Mark(s.machine.Paths.Quiet(), quiet)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not change the notifications"), err)
	}
	wake.Notify(s.lookFiles)
}

// OpenConfig opens config.toml with the given function. If the file does not exist yet,
// it is created with every key commented out.
func (s *Supervisor) OpenConfig(ctx context.Context, open func(context.Context, string) error) {
	file := s.machine.Paths.Config
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, assets.Config, 0o600)
		}
	}
	if err == nil {
		err = open(ctx, file)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not open the configuration"), &fault.Error{Kind: fault.Failed, Why: err.Error(), Remedy: "open it yourself: " + file, Err: err})
	}
}

// SetAutostart turns the start at login on or off.
func (s *Supervisor) SetAutostart(ctx context.Context, on bool) {
	if err := login.Set(s.machine, on); err != nil {
		s.failed(ctx, words.Key("Could not change the start at login"), err)
	}
	s.updateAutostart(ctx)
}

// ControlRunner starts, stops or restarts the runner for the menu, and returns when it
// answers or has stopped. Unlike with ChangeRunner, a failure is in the State as well.
func (s *Supervisor) ControlRunner(ctx context.Context, c localrunner.Verb) error {
	err := s.keeper.Do(ctx, c, true)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(ctx, words.Key("Could not do that with Model Runner"), err)
	}
	return err
}

// OpenRunnerLog writes the end of the runner's log to a file that only this user
// can read, and opens it with show.
func (s *Supervisor) OpenRunnerLog(ctx context.Context, show func(context.Context, string) error) {
	const lines = 2000
	err := func() error {
		dir, err := s.machine.Paths.RuntimeDir()
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "model-runner.log.txt")
		to, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := localrunner.Logs(ctx, s.machine, to, lines, false); err != nil {
			return err
		}
		return show(ctx, file)
	}()
	if err != nil && ctx.Err() == nil {
		var ours *fault.Error
		if !errors.As(err, &ours) {
			err = &fault.Error{Kind: fault.Failed, What: "opening the log", Why: err.Error(), Remedy: "see it at a terminal: switchyard runner logs", Err: err}
		}
		s.failed(ctx, words.Key("Could not open Model Runner's log"), err)
	}
}

// Pull starts a pull, or joins one in progress. The channel holds the newest state of
// the pull, until that is over. The error is a *fault.Error.
func (s *Supervisor) Pull(ctx context.Context, ref string) (<-chan state.Pull, error) {
	if err := s.machine.MayPull(ref); err != nil {
		return nil, err
	}
	if s.door.Load() == nil {
		return nil, &fault.Error{Kind: fault.Failed, What: "pulling " + ref, Why: "Switchyard's gateway is not running", Remedy: "see the menu's first line"}
	}
	return s.puller.Pull(ctx, ref), ctx.Err()
}

// StartPull starts a pull without waiting for it; the State shows how it goes.
func (s *Supervisor) StartPull(ctx context.Context, ref string) {
	if _, err := s.Pull(ctx, ref); err != nil && ctx.Err() == nil {
		s.failed(ctx, words.T("Could not pull %s", ref), err)
	}
}

// CancelPull cancels a pull. What was downloaded is kept for the next attempt.
func (s *Supervisor) CancelPull(ctx context.Context, ref string) { s.puller.Cancel(ctx, ref) }
