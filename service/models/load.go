package models

import (
	"context"
	"fmt"
	"slices"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// Load is a model about to be loaded, and the memory available for it.
type Load struct {
	model     runner.Model
	tag       string
	need      gpu.Need
	Free      int64 // bytes; -1: unknown
	available int64 // if idle models are unloaded; -1: unknown
	largest   int   // context that fits, in tokens; 0: none, or unknown
}

// BeforeLoad estimates what loading a model will need. Without a GPU that can be read, or
// if the model is loaded already, all is unknown.
func BeforeLoad(ctx context.Context, m *machine.Machine, client *runner.Client, name string) Load {
	l := Load{Free: -1, available: -1}
	v := memory.Read(ctx, m)
	free := gpu.Free(v.Devices)
	if free < 0 {
		return l
	}
	all, err := client.Models(ctx)
	if err != nil {
		return l
	}
	_, tag, err := runner.Pick(all, name)
	if err != nil {
		return l
	}
	if l.model, err = client.Model(ctx, tag); err != nil {
		return l
	}
	loaded, _ := client.Running(ctx)
	idle := int64(0)
	for _, one := range loaded {
		if runner.Full(one.Model) == tag || one.Model == l.model.ID {
			return l
		}
		for _, model := range all {
			if !one.InUse && (model.ID == one.Model || slices.Contains(model.Tags, runner.Full(one.Model))) {
				idle += needOf(m, model, gpu.Setting{Context: model.Context}).Total
			}
		}
	}
	s := gpu.Setting{Context: l.model.Context, Parallel: l.model.Slots, KV: l.model.Cache}
	l.tag, l.need, l.Free = tag, needOf(m, l.model, s), free
	l.available = min(free+idle, gpu.Total(v.Devices))
	l.largest = gpu.Largest(memory.Shape(l.model), s, l.available, max(l.model.Trained, l.model.Context))
	return l
}

// Warning warns of a load that may fail; ok is false if it should not.
func (l Load) Warning() (w state.Warning, ok bool) {
	verdict := gpu.Judge(l.need.Total, l.available)
	if verdict != gpu.TooBig && verdict != gpu.Tight {
		return state.Warning{}, false
	}
	about := []any{runner.Short(l.tag), words.Size(l.need.Total), words.Tokens(l.model.Context), words.Size(max(l.available, 1))}
	code, text := "model_tight", words.T("%s barely fits the GPU: it needs about %s (context %s); %s is available", about...)
	if verdict == gpu.TooBig {
		code, text = "model_too_big", words.T("%s does not fit the GPU: it needs about %s (context %s); %s is available", about...)
	}
	return state.Warning{Code: code, Text: text, Remedy: l.remedy()}, true
}

// Fit says in words how the load fits the GPU; empty when that is unknown.
func (l Load) Fit() string {
	switch gpu.Judge(l.need.Total, l.available) {
	case gpu.Fits:
		return "fits the GPU"
	case gpu.Tight:
		return "barely fits the GPU"
	case gpu.TooBig:
		return "does not fit the GPU"
	}
	return ""
}

// remedy is what to do if the model does not fit.
func (l Load) remedy() string {
	if l.largest >= runner.MinContext {
		return words.T("a smaller context fits: switchyard context %s %s", runner.Short(l.tag), words.Tokens(l.largest))
	}
	quantised := gpu.Setting{Context: l.model.Context, Parallel: l.model.Slots, KV: "q8_0"}
	if l.model.Cache == "" && gpu.Judge(gpu.Needs(memory.Shape(l.model), quantised).Total, l.available) != gpu.TooBig {
		return "a quantised cache fits: switchyard context " + runner.Short(l.tag) + " " + words.Tokens(l.model.Context) + " --kv q8_0"
	}
	return "choose a smaller model: switchyard models"
}

// Explain adds the estimate to an error if the load ran out of memory.
func (l Load) Explain(err error) error {
	if !runner.OutOfMemory(err) || l.tag == "" {
		return err
	}
	e := fault.Wrap("", err).(*fault.Error)
	e.Why += fmt.Sprintf(" (about %s with a context of %s; %s is available)", words.Size(l.need.Total), words.Tokens(l.model.Context), words.Size(max(l.available, 1)))
	e.Remedy = l.remedy()
	return e
}

// LearnNeed remembers how much memory a load took, if that is a plausible amount.
func LearnNeed(ctx context.Context, m *machine.Machine, before Load) {
	if before.Free < 0 || before.tag == "" || before.model.Cache != "" {
		return
	}
	took := before.Free - gpu.Free(memory.Read(ctx, m).Devices)
	estimate := before.need.Total
	if took < estimate/3 || took > 2*estimate { // another program's memory, or the model is on the CPU
		return
	}
	Learn(m, before.model.ID, func(l *Learned) {
		if l.Took == nil {
			l.Took = map[int]int64{}
		}
		l.Took[before.model.Context] = took
	})
}
