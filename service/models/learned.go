package models

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/config"
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

// LearnFrom stores what the proofs showed about a model.
func LearnFrom(m *machine.Machine, model runner.Model, proofs []runner.Proof) {
	for _, p := range proofs {
		if p.Name == "tool_call" && p.Err == nil && model.ID != "" {
			Learn(m, model.ID, func(l *Learned) { l.Tools = &p.OK })
		}
	}
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
