package models

import (
	"context"
	"os"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Fit judges a model of the runner's; a context of 0 is its own.
func Fit(ctx context.Context, y *machine.Machine, name string, s gpu.Setting) (memory.Fit, error) {
	client, m, tag, err := pick(ctx, y, "fitting "+name, name)
	if err != nil {
		return memory.Fit{}, err
	}
	defer client.Close()
	if detailed, err := client.Model(ctx, tag); err == nil {
		m.Context, m.Slots, m.Cache = detailed.Context, detailed.Slots, detailed.Cache
	}
	if s.Context == 0 {
		s.Context = m.Context
	}
	if s.Parallel == 0 {
		s.Parallel = m.Slots
	}
	if s.KV == "" {
		s.KV = m.Cache
	}
	fit := memory.Judge(memory.Shape(m), s, gpu.Free(memory.Read(ctx, y).Devices), max(m.Trained, m.Context))
	fit.Model = tag
	if fit.Need = need(y, m, s); fit.Bound == gpu.Learnt {
		fit.Verdict = gpu.Judge(fit.Total, fit.Free)
	}
	return fit, nil
}

// FitFile judges a model by Model Runner's object of it.
func FitFile(ctx context.Context, y *machine.Machine, file string, s gpu.Setting) (memory.Fit, error) {
	data, err := os.ReadFile(file)
	var m runner.Model
	if err == nil {
		m, err = runner.ParseModel(data)
	}
	if err != nil {
		return memory.Fit{}, &fault.Error{Kind: fault.Refused, What: "reading " + file, Why: err.Error(), Remedy: "give Model Runner's object of the model: GET /models/NAME, or docker model inspect NAME", Err: err}
	}
	if s.Context == 0 {
		s.Context = m.Context
	}
	return memory.Judge(memory.Shape(m), s, gpu.Free(memory.Read(ctx, y).Devices), max(m.Trained, m.Context, s.Context)), nil
}

// Fits judges the models of the runner by what is free, and what unloading those
// that are loaded would free.
func Fits(y *machine.Machine, models []state.Model, all []runner.Model, vram state.VRAM) []state.Model {
	free, total := gpu.Free(vram.Devices), gpu.Total(vram.Devices)
	shapes := map[string]runner.Model{}
	for _, m := range all {
		shapes[m.ID] = m
	}
	known := known(y)
	needs := make([]gpu.Need, len(models))
	available := free
	for i, m := range models {
		one := shapes[m.ID]
		needs[i] = learnt(known, one, gpu.Setting{Context: m.Context, Parallel: one.Slots})
		if m.Loaded && free >= 0 {
			available += needs[i].Total
		}
	}
	if total >= 0 {
		available = min(available, total)
	}
	for i := range models {
		m := &models[i]
		m.Need, m.Fit = needs[i].Total, gpu.Judge(needs[i].Total, available)
		if m.Loaded && m.Fit != gpu.Unknown {
			m.Fit = gpu.Fits // it is there
		}
	}
	return models
}
