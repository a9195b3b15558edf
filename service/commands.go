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
	"github.com/switchyard-app/switchyard/service/config"
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

// Switch moves Claude Code, and ends a switch that is still proving. It returns
// when the switch is done; its failure is in the State too.
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

// Choose sets the model for the next switch to local, and switches at once when the route is local or offline.
func (s *Supervisor) Choose(ctx context.Context, tag string) error {
	if now := s.State(); now.Route != claude.Cloud {
		direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct // stays so
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

// Resize gives the model in use another context, in tokens, and switches to it.
func (s *Supervisor) Resize(ctx context.Context, tag string, tokens int) error {
	t := s.begin(ctx, words.Key("Repackaging the model…"))
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

// SetLean remembers whether new local sessions shall have the lean profile, and
// lets the settings follow where Claude Code is local. Running sessions keep what
// they began with.
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
	return s.Switch(ctx, switching.Request{Route: now.Route, Model: now.Model, Context: now.Context, Direct: direct, Force: true}) // what works is not changed
}

// SetQuiet remembers whether notifications shall be shown. The configuration overrules it.
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

// OpenConfig shows the configuration with the desktop's own program; where there is none
// yet, one in which every key is a comment.
func (s *Supervisor) OpenConfig(ctx context.Context, open func(context.Context, string) error) {
	file := s.machine.Paths.Config
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = config.WriteWhole(file, assets.Config)
	}
	if err == nil {
		err = open(ctx, file)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not open the configuration"), &fault.Error{Kind: fault.Failed, Why: err.Error(), Remedy: "open it yourself: " + file, Err: err})
	}
}

// SetAutostart has the desktop start Switchyard at login, or not.
func (s *Supervisor) SetAutostart(ctx context.Context, on bool) {
	if err := login.Set(s.machine, on); err != nil {
		s.failed(ctx, words.Key("Could not change the start at login"), err)
	}
	s.lookAtAutostart(ctx)
}

// Control starts, stops or restarts the runner for a person, and returns when it
// answers, or has stopped. The error is an *Error.
func (s *Supervisor) Control(ctx context.Context, c localrunner.Verb) error {
	err := s.keeper.Do(ctx, c, true)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.failed(ctx, words.Key("Could not do that with Model Runner"), err)
	}
	return err
}

// OpenRunnerLog writes the end of the runner's log to a file that only this user
// can read, and has it shown.
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

// Pull begins a pull, or joins the one that runs, and returns what it hears of it,
// always the newest, until it is over. The error is an *Error.
func (s *Supervisor) Pull(ctx context.Context, ref string) (<-chan state.Pull, error) {
	if err := s.machine.MayPull(ref); err != nil {
		return nil, err
	}
	if s.door.Load() == nil {
		return nil, &fault.Error{Kind: fault.Failed, What: "pulling " + ref, Why: "Switchyard's gateway does not run", Remedy: "see the menu's first line"}
	}
	return s.puller.Pull(ctx, ref), ctx.Err()
}

// PullAndTell begins a pull; how it ends is in the State.
func (s *Supervisor) PullAndTell(ctx context.Context, ref string) {
	if _, err := s.Pull(ctx, ref); err != nil && ctx.Err() == nil {
		s.failed(ctx, words.T("Could not pull %s", ref), err)
	}
}

// CancelPull ends a pull; what was loaded is kept for the next one.
func (s *Supervisor) CancelPull(ctx context.Context, ref string) { s.puller.Cancel(ctx, ref) }

// perform does one switch. ctx is the supervisor's, one the command's own.
func (s *Supervisor) perform(ctx, one context.Context, r switching.Request) error {
	t := s.begin(ctx, busy(""))
	start := time.Now()
	result, err := switching.Switch(one, s.machine, r, localrunner.Progress{Begin: func(proof string) { t.say(ctx, busy(proof)) }, Warn: func(w state.Warning) { s.fact(ctx, func(k *known) { k.doubt = w }) }})
	s.log.Info("switch", "route", r.Route, "model", result.Model, "took", time.Since(start).Round(time.Millisecond), "error", err)
	// What the switch wrote is read before it counts as done.
	n := s.nextLook()
	f := settings.Read(ctx, s.machine)
	facts := sessions.Look(s.machine, f.Status, &claude.Roster{}, &claude.Files{})
	if r.Route == claude.Offline && (err == nil || !errors.Is(err, context.Canceled)) {
		s.depart(ctx, one, &doctor.Departure{Model: r.Model, Context: r.Context, Failed: err}, err == nil) // a failure is told below
	}
	s.fact(ctx, func(k *known) {
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

// busy says what a proof is doing.
func busy(proof string) string {
	switch proof {
	case "message":
		return words.Key("Loading the model…")
	case "system_message", "tool_call":
		return words.Key("Trying the model…")
	}
	return words.Key("Switching…")
}
