package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"switchyard/service/engine"
	"switchyard/service/gateway"
	"switchyard/service/runner"
)

// detail is what only the runner knows of a model.
type detail struct {
	context, slots int
	asked          time.Time
}

// detailAge is how long a model's detail holds: somebody may configure it anew.
const detailAge = 30 * time.Second

// seen takes over where the runner is.
func (v *serving) seen(found runner.Found) {
	v.mu.Lock()
	v.found = found
	v.mu.Unlock()
	v.once.Do(func() { close(v.known) })
}

func (v *serving) runner(ctx context.Context) runner.Found {
	select {
	case <-v.known:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

func (v *serving) upstream(ctx context.Context) gateway.Upstream {
	found := v.runner(ctx)
	return gateway.Upstream{URL: found.URL, Socket: found.Socket}
}

// model says which model a request means: every name of the cloud's is the chosen one.
func (v *serving) model(ctx context.Context, name string) gateway.Model {
	state := v.s.present()
	if cloudName(name) {
		if name = state.Model; name == "" {
			name = state.Chosen
		}
	}
	found := v.runner(ctx)
	client := runner.NewClient(found.Endpoint)
	defer client.Close()
	tag := resolve(state.Models, name)
	if tag == "" {
		// Pulled a moment ago, or not looked yet.
		ctx, cancel := context.WithTimeout(ctx, quick)
		defer cancel()
		models, err := client.Models(ctx)
		if err != nil { // the runner is down, and may be started
			return state.told(gateway.Model{Tag: runner.Full(name)})
		}
		if _, tag, err = runner.Pick(models, name); err != nil {
			return gateway.Model{Tag: runner.Full(name), Missing: name != ""}
		}
	}
	d := v.detail(ctx, client, tag)
	return state.told(gateway.Model{Tag: tag, Context: d.context, Slots: d.slots})
}

// told bounds a model's context by what Claude Code was told it is.
func (s State) told(m gateway.Model) gateway.Model {
	if m.Tag == s.Model && s.Context > 0 && (m.Context == 0 || s.Context < m.Context) {
		m.Context = s.Context
	}
	return m
}

// cloudName tells whether a name means a tier of the cloud's, not a model here.
func cloudName(name string) bool {
	switch name {
	case "opus", "sonnet", "haiku", "fable", "default", "best", "opusplan":
		return true
	}
	return strings.HasPrefix(name, "claude-")
}

// resolve finds a model's full tag; empty when it is not among them.
func resolve(models []Model, name string) string {
	all := make([]runner.Model, len(models))
	for i, m := range models {
		all[i] = runner.Model{ID: m.ID, Tags: []string{m.Tag}}
	}
	if name == "" && len(all) != 1 {
		return ""
	}
	_, tag, err := runner.Pick(all, name)
	if err != nil {
		return ""
	}
	return tag
}

// detail asks for a model's context and slots, now and then.
func (v *serving) detail(ctx context.Context, client *runner.Client, tag string) detail {
	v.mu.Lock()
	d, ok := v.details[tag]
	v.mu.Unlock()
	if ok && time.Since(d.asked) < detailAge {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	m, err := client.Model(ctx, tag)
	if err != nil {
		return d // what was known before; the next request asks again
	}
	d = detail{context: m.Context, slots: m.Slots, asked: time.Now()}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.details[tag] = d
	return d
}

// startTime bounds the start of a runner.
const startTime = 2 * time.Minute

// revive looks for the runner again and starts its container if that is allowed.
func (v *serving) revive(ctx context.Context) error {
	select { // one at a time: the others find it up
	case v.reviving <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-v.reviving }()
	found, err := v.s.yard.FindRunner(ctx)
	if err != nil {
		return err
	}
	v.seen(found)
	defer wish(v.s.lookRunner)
	client := runner.NewClient(found.Endpoint)
	defer client.Close()
	if !found.Stopped {
		if err := client.Health(ctx); err != nil {
			return errors.New("nothing answers at " + found.String())
		}
		return nil
	}
	if start := v.s.yard.Config.StartRunner; start != nil && !*start || found.Container == "" {
		return errors.New("its container is stopped")
	}
	v.s.log.Info("a request came: starting Model Runner's container")
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := (engine.Container{Host: found.DockerHost, ID: found.Container}).Start(ctx); err != nil {
		return err
	}
	return v.untilHealthy(ctx)
}

// untilHealthy waits until a runner that is starting answers. Nothing announces that.
func (v *serving) untilHealthy(ctx context.Context) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if found, err := v.s.yard.FindRunner(ctx); err == nil && !found.Stopped {
			v.seen(found)
			client := runner.NewClient(found.Endpoint)
			err := client.Health(ctx)
			client.Close()
			if err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("it was started and does not answer")
		case <-time.After(pause):
		}
	}
}
