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

// Fit says whether a model of the runner fits the GPU. What is zero in s is taken from the
// model.
func Fit(ctx context.Context, m *machine.Machine, name string, s gpu.Setting) (memory.Fit, error) {
	client, model, tag, err := pick(ctx, m, "fitting "+name, name)
	if err != nil {
		return memory.Fit{}, err
	}
	defer client.Close()
	if detailed, err := client.Model(ctx, tag); err == nil {
		model.Context, model.Slots, model.Cache = detailed.Context, detailed.Slots, detailed.Cache
	}
	if s.Context == 0 {
		s.Context = model.Context
	}
	if s.Parallel == 0 {
		s.Parallel = model.Slots
	}
	if s.KV == "" {
		s.KV = model.Cache
	}
	fit := memory.Judge(memory.Shape(model), s, gpu.Free(memory.Read(ctx, m).Devices), max(model.Trained, model.Context))
	fit.Model = tag
	if fit.Need = needOf(m, model, s); fit.Bound == gpu.Learnt {
		fit.Verdict = gpu.Judge(fit.Total, fit.Free)
	}
	return fit, nil
}

// FitFile is Fit for a model that the runner need not have: file holds Model Runner's JSON
// object of it.
func FitFile(ctx context.Context, m *machine.Machine, file string, s gpu.Setting) (memory.Fit, error) {
	data, err := os.ReadFile(file)
	var model runner.Model
	if err == nil {
		model, err = runner.ParseModel(data)
	}
	if err != nil {
		return memory.Fit{}, &fault.Error{Kind: fault.Refused, What: "reading " + file, Why: err.Error(), Remedy: "use Model Runner's JSON object of the model: GET /models/NAME, or docker model inspect NAME", Err: err}
	}
	if s.Context == 0 {
		s.Context = model.Context
	}
	return memory.Judge(memory.Shape(model), s, gpu.Free(memory.Read(ctx, m).Devices), max(model.Trained, model.Context, s.Context)), nil
}

// Fits fills in Need and Fit of models. Memory counts as available if it is free, or if
// unloading the loaded models would free it. all are the same models as the runner
// describes them.
func Fits(m *machine.Machine, models []state.Model, all []runner.Model, vram state.VRAM) []state.Model {
	free, total := gpu.Free(vram.Devices), gpu.Total(vram.Devices)
	shapes := map[string]runner.Model{}
	for _, model := range all {
		shapes[model.ID] = model
	}
	known := learned(m)
	needs := make([]gpu.Need, len(models))
	available := free
	for i, model := range models {
		one := shapes[model.ID]
		needs[i] = measured(known, one, gpu.Setting{Context: model.Context, Parallel: one.Slots})
		if model.Loaded && free >= 0 {
			available += needs[i].Total
		}
	}
	if total >= 0 {
		available = min(available, total)
	}
	for i := range models {
		model := &models[i]
		model.Need, model.Fit = needs[i].Total, gpu.Judge(needs[i].Total, available)
		if model.Loaded && model.Fit != gpu.Unknown {
			model.Fit = gpu.Fits // it is loaded, so it fits
		}
	}
	return models
}
