package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/runner"
)

// detail is what only the runner knows of a model.
type detail struct {
	context, slots int
	asked          time.Time
}

// detailAge is how long a model's detail holds: somebody may configure it anew.
const detailAge = 30 * time.Second

// seen takes over where the runner is.
func (v *door) seen(f found) {
	v.mu.Lock()
	v.found = f
	v.mu.Unlock()
	v.once.Do(func() { close(v.known) })
}

func (v *door) runner(ctx context.Context) found {
	select {
	case <-v.known:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

func (v *door) upstream(ctx context.Context) gateway.Upstream {
	seen := v.runner(ctx).seen
	return gateway.Upstream{URL: seen.URL, Socket: seen.Socket}
}

// model says which model a request means: every name of the cloud's is the chosen one.
func (v *door) model(ctx context.Context, name string) gateway.Model {
	state := v.options.state()
	if cloudName(name) {
		if name = state.Model; name == "" {
			name = state.Chosen
		}
	}
	client := runner.NewClient(v.runner(ctx).endpoint())
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
func (v *door) detail(ctx context.Context, client *runner.Client, tag string) detail {
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

// revive brings the runner up for a request, where that is allowed.
func (v *door) revive(ctx context.Context) error {
	err := v.options.start(ctx)
	var ours *Error
	if errors.As(err, &ours) {
		return errors.New(ours.Why)
	}
	return err
}

// noteUse is how often a model's use is noted.
const noteUse = 10 * time.Minute

// served hears how a request ended.
func (v *door) served(tag string, why gateway.Reason) {
	v.options.ended(tag, why)
	if why != "" {
		return
	}
	v.mu.Lock()
	due := time.Since(v.uses[tag]) > noteUse
	if due {
		v.uses[tag] = time.Now()
	}
	v.mu.Unlock()
	if !due {
		return
	}
	for _, m := range v.options.state().Models {
		if m.Tag == tag {
			v.options.used(m.ID)
		}
	}
}
