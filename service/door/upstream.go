package door

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// detail is what only the runner knows about a model.
type detail struct {
	id             string
	context, slots int
	build          string // of the engine
	template       string // its chat template
	reads          shape.Needs
	needs          shape.Needs // these, with what was learned
	about          string      // in words
	asked          time.Time
}

// detailAge is how long a detail is used: the model may be configured again.
const detailAge = 30 * time.Second

// SetRunner says where the runner is.
func (v *Door) SetRunner(f localrunner.Instance) {
	v.mu.Lock()
	v.found = f
	v.mu.Unlock()
	v.once.Do(func() { close(v.known) })
}

// Runner is the runner as last seen. It waits until the runner has been looked for.
func (v *Door) Runner(ctx context.Context) localrunner.Instance {
	select {
	case <-v.known:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

func (v *Door) upstream(ctx context.Context) gateway.Upstream {
	seen := v.Runner(ctx).Seen
	return gateway.Upstream{URL: seen.URL, Socket: seen.Socket}
}

// model says which model a request means. Every name of Anthropic's means the chosen one, but
// for a model of the runner's that is called so.
func (v *Door) model(ctx context.Context, name string) gateway.Model {
	now := v.options.State()
	if claude.Tier(name) || claude.CloudName(name) && state.Resolve(now.Models, name) == "" {
		if name = now.Model; name == "" {
			name = now.Chosen
		}
	}
	client := runner.NewClient(v.Runner(ctx).Endpoint())
	defer client.Close()
	tag := state.Resolve(now.Models, name)
	if tag == "" {
		// Just pulled, or the models were not read yet.
		ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
		defer cancel()
		models, err := client.Models(ctx)
		if err != nil { // the runner is down; the request may start it
			return now.LimitContext(gateway.Model{Tag: runner.Full(name)})
		}
		if _, tag, err = runner.Pick(models, name); err != nil {
			return gateway.Model{Tag: runner.Full(name), Missing: name != ""}
		}
	}
	d := v.detail(ctx, client, tag)
	return now.LimitContext(gateway.Model{Tag: tag, Context: d.context, Slots: d.slots, Needs: d.needs})
}

// detail is what the runner says of a model, at most detailAge old.
func (v *Door) detail(ctx context.Context, client *runner.Client, tag string) detail {
	v.mu.Lock()
	old, ok := v.details[tag]
	v.mu.Unlock()
	if ok && time.Since(old.asked) < detailAge {
		return old
	}
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	var build string
	var both sync.WaitGroup
	both.Go(func() { build, _ = client.Build(ctx) })
	m, err := client.Model(ctx, tag)
	both.Wait()
	if err != nil {
		return old // the next request asks again
	}
	d := detail{id: m.ID, context: m.Context, slots: m.Slots, about: m.About(m.Context), build: cmp.Or(build, old.build), template: m.Template, reads: old.reads, asked: time.Now()}
	if d.template != old.template {
		d.reads = shape.Read(d.template)
	}
	d.needs = v.options.Needs(d.id, d.build, d.reads) // with what was learned so far
	v.gateway.Forget(tag)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.details[tag] = d
	return d
}

// lesson is what an engine's refusal taught about a model.
type lesson struct {
	id, build string
	what      shape.Lesson
}

// learned passes a lesson on to be stored. If too many come at a time, one is learned again
// after the next start.
func (v *Door) learned(tag string, what shape.Lesson) {
	v.mu.Lock()
	d, ok := v.details[tag]
	d.needs = d.needs.With(what)
	if ok {
		v.details[tag] = d
	}
	v.mu.Unlock()
	if !ok {
		return
	}
	select {
	case v.lessons <- lesson{d.id, d.build, what}:
	default:
	}
}

// store has lessons stored, which may wait for a disk.
func (v *Door) store(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-v.lessons:
			v.options.Learned(l.id, l.build, l.what)
		}
	}
}

// revive starts the runner for a request, if that is allowed.
func (v *Door) revive(ctx context.Context) error {
	err := v.options.Start(ctx)
	var ours *fault.Error
	if errors.As(err, &ours) {
		return errors.New(ours.Why)
	}
	return err
}

// served is called after every request; an empty reason means that it succeeded.
func (v *Door) served(tag string, why gateway.Reason) {
	v.options.Ended(tag, why)
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
	for _, m := range v.options.State().Models {
		if m.Tag == tag {
			v.options.Used(m.ID)
		}
	}
}

// noteUse is how often the use of a model is noted.
const noteUse = 10 * time.Minute

// ForSession is what a new session of switchyard run needs to know; an empty name means the
// chosen model. A session that begins right after Switchyard did waits for
// the first look at the runner; until then, its state is not known.
func (v *Door) ForSession(ctx context.Context, name string) control.SessionAnswer {
	ctx, cancel := context.WithTimeout(ctx, control.SessionTime)
	defer cancel()
	v.Guard.startSoon() // a session is about to use the address
	v.Runner(ctx)
	now := v.options.State()
	a := control.SessionAnswer{Address: v.address(), Route: now.Route, Runner: now.Runner, Users: v.gateway.Snapshot().Sessions}
	if name == "" {
		name = cmp.Or(now.Model, now.Chosen)
	}
	if _, down := now.Runner.Warning(); down {
		return a // it has to be started first
	}
	m := v.model(ctx, name) // of a runner that starts, the name alone: the gateway waits for it
	a.Model, a.Context, a.Missing = m.Tag, m.Context, m.Missing
	a.NoTools = m.Needs.NoTools
	a.Slots = gateway.Parallel(v.options.Machine.Config.Parallel, m.Slots, m.Context)
	v.mu.Lock()
	a.About = v.details[m.Tag].about
	v.mu.Unlock()
	return a
}
