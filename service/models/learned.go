package models

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/runner"
)

// Learned is what Switchyard found out about a model by using it. It is stored under the
// model's id in models.json, in the state folder.
type Learned struct {
	Tools *bool     `json:"tools,omitempty"` // it calls tools; nil: not tried yet
	Used  time.Time `json:"used,omitzero"`   // last request or switch
	Seen  time.Time `json:"seen,omitzero"`   // when it was first seen

	// Build is the runner and engine for which Lessons and Proven hold (runner.Client.Build).
	Build   string         `json:"build,omitempty"`
	Lessons []shape.Lesson `json:"lessons,omitempty"` // what the engine's refusals taught
	Proven  bool           `json:"proven,omitempty"`  // the conversations of the proofs were answered, through the gateway

	// Took is how much of the GPUs' memory a load was measured to take, in bytes, by
	// the context in tokens.
	Took map[int]int64 `json:"took,omitempty"`
}

// learnWait limits the wait for another process that holds the lock. What cannot be
// noted now will be noted the next time.
const learnWait = 2 * time.Second

func learnedFile(m *machine.Machine) string { return filepath.Join(m.Paths.State, "models.json") }

func learned(m *machine.Machine) map[string]Learned {
	known := map[string]Learned{}
	if data, err := os.ReadFile(learnedFile(m)); err == nil {
		_ = json.Unmarshal(data, &known) // a broken file counts as empty
	}
	return known
}

// Learn changes what is stored about the model with an id. Failures are ignored: it will
// be learned again.
func Learn(m *machine.Machine, id string, change func(*Learned)) { learnAll(m, []string{id}, change) }

// learnAll is Learn for several models. The lock works between processes and within one:
// flock excludes two descriptors of the same process too.
func learnAll(m *machine.Machine, ids []string, change func(*Learned)) {
	if len(ids) == 0 {
		return
	}
	if os.MkdirAll(m.Paths.State, 0o700) != nil {
		return
	}
	lock := flock.New(learnedFile(m)+".lock", flock.SetPermissions(0o600)) // the tray and commands may learn at the same time
	ctx, cancel := context.WithTimeout(context.Background(), learnWait)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, time.Millisecond); errors.Is(err, context.DeadlineExceeded) {
		return // another process holds it; a file system without locks goes on without
	}
	defer func() { _ = lock.Close() }()
	known := learned(m)
	for _, id := range ids {
		one := known[id]
		change(&one)
		known[id] = one
	}
	data, err := json.Marshal(known)
	if err != nil {
		return
	}
	_ = config.WriteAtomic(learnedFile(m), data) // else it is learned again
}

// NoteSeen notes when models are seen for the first time.
func NoteSeen(m *machine.Machine, models []runner.Model) {
	known := learned(m)
	var fresh []string
	for _, model := range models {
		if known[model.ID].Seen.IsZero() {
			fresh = append(fresh, model.ID)
		}
	}
	learnAll(m, fresh, func(l *Learned) { l.Seen = time.Now() })
}

// holds reports whether what was learned of a build holds for another one. An empty one
// is unknown, as it is until llama.cpp runs for the first time: nothing speaks against it.
func (l Learned) holds(build string) bool { return build == "" || l.Build == "" || l.Build == build }

// on forgets what was learned of another build.
func (l *Learned) on(build string) {
	if !l.holds(build) {
		l.Lessons, l.Proven = nil, false
	}
	l.Build = cmp.Or(build, l.Build)
}

// LearnLesson stores what an engine's refusal taught about the model with an id, and
// reports whether that is new. One that no build can be told of is not stored: nothing would
// end it. Nor is one against a model that was seen to call tools.
func LearnLesson(m *machine.Machine, id, build string, lesson shape.Lesson) (fresh bool) {
	Learn(m, id, func(l *Learned) {
		l.on(build)
		called := l.Tools != nil && *l.Tools
		if l.Build == "" || lesson == shape.NoTools && called {
			return
		}
		if fresh = !slices.Contains(l.Lessons, lesson); fresh {
			l.Lessons = append(l.Lessons, lesson)
		}
		if lesson == shape.NoTools {
			l.Tools = new(bool)
		}
	})
	return fresh
}

// Needs adds to what a model's chat template wants what was learned about the model with
// this build of the engine. A model that was seen to call tools is believed, whatever the
// template in its file says: it may come with another one, which Model Runner does not show.
func Needs(m *machine.Machine, id, build string, template shape.Needs) shape.Needs {
	l := learned(m)[id]
	if l.Tools != nil && *l.Tools {
		template.NoTools = false
	}
	if !l.holds(build) {
		return template
	}
	for _, lesson := range l.Lessons {
		template = template.With(lesson)
	}
	return template
}

// Proven reports whether the conversations of the proofs were answered before, by the same
// build of the engine, through the gateway.
func Proven(m *machine.Machine, id, build string) bool {
	l := learned(m)[id]
	return build != "" && l.Build == build && l.Proven
}

// LearnFrom stores what the proofs showed about a model. through is set if they went
// through the gateway.
func LearnFrom(m *machine.Machine, model runner.Model, build string, through bool, proofs []runner.Proof) {
	if model.ID == "" {
		return
	}
	held := map[string]bool{}
	for _, p := range proofs {
		if p.OK || p.Err == nil {
			held[p.Name] = p.OK
		}
	}
	calls, asked := held["tool_call"]
	_, talked := held[runner.Conversations()[0]]
	all := !slices.ContainsFunc(runner.Conversations(), func(name string) bool { return !held[name] })
	Learn(m, model.ID, func(l *Learned) {
		l.on(build)
		if asked {
			l.Tools = &calls
		}
		if calls && (through || held[runner.Conversations()[0]]) { // what a refusal taught was wrong
			l.Lessons = slices.DeleteFunc(l.Lessons, func(one shape.Lesson) bool { return one == shape.NoTools })
		}
		if through && talked {
			l.Proven = all
		}
	})
}

// needOf is what a load of the model was measured to take, or else the estimate.
func needOf(m *machine.Machine, model runner.Model, s gpu.Setting) gpu.Need {
	return measured(learned(m), model, s)
}

func measured(known map[string]Learned, m runner.Model, s gpu.Setting) gpu.Need {
	need := gpu.Needs(memory.Shape(m), s)
	if took := known[m.ID].Took[s.Context]; took > 0 && s.KV == "" && (s.Parallel == 0 || s.Parallel == m.Slots) {
		need.Total, need.Bound = took, gpu.Learnt
	}
	return need
}
