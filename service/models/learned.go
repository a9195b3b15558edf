package models

import (
	"context"
	"encoding/json"
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

// Learned is what Switchyard found out about a model by using it. It is kept by the
// model's id, in the state folder.
type Learned struct {
	Tools *bool     `json:"tools,omitempty"` // it calls tools; nil: nobody tried
	Used  time.Time `json:"used,omitzero"`   // when it was asked last
	Seen  time.Time `json:"seen,omitzero"`   // when it was first there

	// Took is what a load really took of the GPUs' memory, in bytes, by the context
	// in tokens.
	Took map[int]int64 `json:"took,omitempty"`
}

// learnWait bounds the wait for another process that learns. What cannot be noted is
// noted the next time.
const learnWait = 2 * time.Second

func learnedFile(m *machine.Machine) string { return filepath.Join(m.Paths.State, "models.json") }

func learned(m *machine.Machine) map[string]Learned {
	known := map[string]Learned{}
	if data, err := os.ReadFile(learnedFile(m)); err == nil {
		_ = json.Unmarshal(data, &known) // a broken file is learned anew
	}
	return known
}

// Learn changes what is known of a model.
func Learn(m *machine.Machine, id string, change func(*Learned)) { learnAll(m, []string{id}, change) }

// learnAll changes what is known of several models. The lock is of the file, not of
// this process: flock excludes two descriptors of one process as well.
func learnAll(m *machine.Machine, ids []string, change func(*Learned)) {
	if len(ids) == 0 {
		return
	}
	if os.MkdirAll(m.Paths.State, 0o700) != nil {
		return
	}
	lock := flock.New(learnedFile(m)+".lock", flock.SetPermissions(0o600)) // the tray and commands learn at the same time
	ctx, cancel := context.WithTimeout(context.Background(), learnWait)
	defer cancel()
	if ok, err := lock.TryLockContext(ctx, time.Millisecond); err != nil || !ok {
		return
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

// NoteSeen notes models that were not there before.
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

// LearnFrom takes over what the proofs of a model showed.
func LearnFrom(m *machine.Machine, model runner.Model, proofs []runner.Proof) {
	for _, p := range proofs {
		if p.Name == "tool_call" && p.Err == nil && model.ID != "" {
			Learn(m, model.ID, func(l *Learned) { l.Tools = &p.OK })
		}
	}
}

// need is the estimate, or what a load before really took.
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
