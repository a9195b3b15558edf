package service

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/keeper"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/login"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/pulls"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// Commands are what a person may want of the running Switchyard: the menu's rows, and
// what comes over the socket. A failure is in the State too.
type Commands struct {
	*hub
	*departures
	log     *slog.Logger
	keeper  *keeper.Keeper
	puller  *pulls.Puller
	serving func() bool // the gateway is up

	switches  chan command  // for the loop
	lookFiles chan struct{} // a wish to read the files, at most one waiting
	lookVRAM  chan struct{} // a wish to read the graphics memory
}

// command is a switch that was asked for, and where to send how it went.
type command struct {
	request switching.Request
	done    chan error
}

// Refresh reads everything again, in the background.
func (c *Commands) Refresh() {
	wake.Notify(c.lookFiles)
	c.keeper.Look()
	wake.Notify(c.lookVRAM)
}

// Switch moves Claude Code to another route, cancelling a switch that is still
// running. It returns when the switch is done; a failure is in the State as well.
func (c *Commands) Switch(ctx context.Context, r switching.Request) error {
	one := command{r, make(chan error, 1)}
	select {
	case c.switches <- one:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Choose sets the model for the next switch to local. On the local or offline route it switches at once.
func (c *Commands) Choose(ctx context.Context, tag string) error {
	if now := c.State(); now.Route != claude.Cloud {
		direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct // stays so
		return c.Switch(ctx, switching.Request{Route: now.Route, Model: tag, Direct: direct})
	}
	defer wake.Notify(c.lookFiles)
	var err error = &fault.Error{Kind: fault.Refused, What: "choosing " + tag, Why: "the configuration says which model a switch takes", Remedy: `change "model" in ` + c.machine.Paths.Config}
	if c.machine.Config.Model == "" {
		err = c.machine.Choose(tag)
	}
	if err != nil {
		c.failed(ctx, words.Key("Could not choose the model"), err)
	}
	return err
}

// Resize repackages a model with a context of that many tokens. If Claude Code uses
// the model, it is switched to the new one.
func (c *Commands) Resize(ctx context.Context, tag string, tokens int) error {
	t := c.startTask(ctx, words.Key("Repackaging the model…"))
	made, current, err := models.Resize(ctx, c.machine, tag, tokens)
	t.end(ctx)
	c.keeper.Look()
	if err != nil {
		c.failed(ctx, words.Key("Could not change the context"), err)
		return err
	}
	if !current {
		return nil
	}
	return c.Choose(ctx, made)
}

// SetLean remembers whether new local sessions get the lean profile, and updates the
// settings if the route is local or offline. Running sessions keep what they started with.
func (c *Commands) SetLean(ctx context.Context, on bool) error {
	err := c.machine.SetLean(on)
	if err != nil {
		c.failed(ctx, words.Key("Could not change the lean profile"), err)
		return err
	}
	defer wake.Notify(c.lookFiles)
	now := c.State()
	if now.Route == claude.Cloud {
		return nil
	}
	direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct
	return c.Switch(ctx, switching.Request{Route: now.Route, Model: now.Model, Context: now.Context, Direct: direct, Force: true}) // what works is not changed
}

// SetQuiet turns notifications off or on. It fails if the configuration already decides.
func (c *Commands) SetQuiet(ctx context.Context, quiet bool) {
	err := error(&fault.Error{Kind: fault.Refused, Why: "the configuration says whether there are notifications", Remedy: `change "notifications" in ` + c.machine.Paths.Config})
	if c.machine.Config.Notifications == nil {
		err = c.machine.Mark(c.machine.Paths.Quiet(), quiet)
	}
	if err != nil {
		c.failed(ctx, words.Key("Could not change the notifications"), err)
	}
	wake.Notify(c.lookFiles)
}

// OpenConfig opens config.toml with the given function. If the file does not exist yet,
// it is created with every key commented out.
func (c *Commands) OpenConfig(ctx context.Context, open func(context.Context, string) error) {
	file := c.machine.Paths.Config
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = config.WriteAtomic(file, assets.Config)
	}
	if err == nil {
		err = open(ctx, file)
	}
	if err != nil {
		c.failed(ctx, words.Key("Could not open the configuration"), &fault.Error{Kind: fault.Failed, Why: err.Error(), Remedy: "open it yourself: " + file, Err: err})
	}
}

// SetAutostart turns the start at login on or off.
func (c *Commands) SetAutostart(ctx context.Context, on bool) {
	if err := login.Set(c.machine, on); err != nil {
		c.failed(ctx, words.Key("Could not change the start at login"), err)
	}
	(&watchers{hub: c.hub, log: c.log}).autostart(ctx)
}

// ControlRunner starts, stops or restarts the runner for the menu, and returns when it
// answers or has stopped. Unlike with ChangeRunner, a failure is in the State as well.
func (c *Commands) ControlRunner(ctx context.Context, verb localrunner.Verb) error {
	err := c.keeper.Do(ctx, verb, true)
	if err != nil && !errors.Is(err, context.Canceled) {
		c.failed(ctx, words.Key("Could not do that with Model Runner"), err)
	}
	return err
}

// OpenRunnerLog writes the end of the runner's log to a file that only this user
// can read, and opens it with show.
func (c *Commands) OpenRunnerLog(ctx context.Context, show func(context.Context, string) error) {
	const lines = 2000
	err := func() error {
		dir, err := c.machine.Paths.RuntimeDir()
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "model-runner.log.txt")
		to, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer to.Close()
		if err := localrunner.Logs(ctx, c.machine, to, lines, false); err != nil {
			return err
		}
		return show(ctx, file)
	}()
	if err != nil && ctx.Err() == nil {
		var ours *fault.Error
		if !errors.As(err, &ours) {
			err = &fault.Error{Kind: fault.Failed, What: "opening the log", Why: err.Error(), Remedy: "see it at a terminal: switchyard runner logs", Err: err}
		}
		c.failed(ctx, words.Key("Could not open Model Runner's log"), err)
	}
}

// Pull starts a pull, or joins one in progress. The channel holds the newest state of
// the pull, until that is over. The error is a *fault.Error.
func (c *Commands) Pull(ctx context.Context, ref string) (<-chan state.Pull, error) {
	if err := c.machine.MayPull(ref); err != nil {
		return nil, err
	}
	if !c.serving() {
		return nil, &fault.Error{Kind: fault.Failed, What: "pulling " + ref, Why: "Switchyard's gateway does not run", Remedy: "see the menu's first line"}
	}
	return c.puller.Pull(ctx, ref), ctx.Err()
}

// StartPull starts a pull without waiting for it; the State shows how it goes.
func (c *Commands) StartPull(ctx context.Context, ref string) {
	if _, err := c.Pull(ctx, ref); err != nil && ctx.Err() == nil {
		c.failed(ctx, words.T("Could not pull %s", ref), err)
	}
}

// CancelPull cancels a pull. What was downloaded is kept for the next attempt.
func (c *Commands) CancelPull(ctx context.Context, ref string) { c.puller.Cancel(ctx, ref) }

// performSwitch does one switch. ctx is the supervisor's; one ends with the command.
func (c *Commands) performSwitch(ctx, one context.Context, r switching.Request) error {
	t := c.startTask(ctx, proofText(""))
	start := time.Now()
	warn := func(w state.Warning) {
		if !strings.HasPrefix(w.Code, "proof_") { // switchyard check has these
			c.update(ctx, func(k *known) { k.doubt = w })
		}
	}
	result, err := switching.Switch(one, c.machine, r, localrunner.Progress{Begin: func(proof string) { t.setText(ctx, proofText(proof)) }, Warn: warn})
	c.log.Info("switch", "route", r.Route, "model", result.Model, "took", time.Since(start).Round(time.Millisecond), "error", err)
	// What the switch wrote is read before it counts as done.
	n := c.nextLook()
	f := settings.Read(ctx, c.machine)
	facts := sessions.Look(c.machine, f.Status, &claude.Roster{}, &claude.Files{})
	if r.Route == claude.Offline && (err == nil || !errors.Is(err, context.Canceled)) {
		c.reportDeparture(ctx, one, &doctor.Departure{Model: r.Model, Context: r.Context, Failed: err}, err == nil) // a failure is told below
	}
	c.update(ctx, func(k *known) {
		k.finish(t.id)
		k.doubt = state.Warning{}
		k.read(n, f, facts)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		c.failed(ctx, words.T("Could not switch to %s", words.T(string(r.Route))), err)
	}
	c.Refresh()
	return err
}

// proofText is what the menu shows while a proof runs.
func proofText(proof string) string {
	switch {
	case proof == "message":
		return words.Key("Loading the model…")
	case proof == "system_message", proof == "tool_call", slices.Contains(runner.Conversations(), proof):
		return words.Key("Trying the model…")
	}
	return words.Key("Switching…")
}
