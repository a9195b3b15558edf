package service

import (
	"context"
	"os"
	"time"

	"switchyard/gpu"
	"switchyard/service/runner"
)

// VRAM is the graphics memory of this machine.
type VRAM struct {
	Devices []gpu.Device `json:"devices"`
	Why     string       `json:"why,omitempty"` // why they could not be read
}

// ReadVRAM reads the devices, in a process of its own.
func (y *Yard) ReadVRAM(ctx context.Context) VRAM {
	if y.Program == "" {
		return VRAM{Devices: []gpu.Device{}}
	}
	devices, err := gpu.Read(ctx, y.Program, "gpu", "--probe")
	if err != nil {
		return VRAM{Devices: []gpu.Device{}, Why: err.Error()}
	}
	return VRAM{Devices: devices}
}

// shape is what decides a model's need.
func shape(m runner.Model) gpu.Model {
	return gpu.Model{Architecture: m.Architecture, Size: m.Size, Keys: m.Metadata}
}

// Fit is the verdict on one model at one context.
type Fit struct {
	gpu.Need
	Model   string      `json:"model,omitempty"`
	Context int         `json:"context"`
	Free    int64       `json:"free_bytes"` // −1: unknown
	Verdict gpu.Verdict `json:"verdict"`
	Largest int         `json:"largest_context"` // that fits; 0: none, or unknown
}

// judge fits one model into what is free, in bytes.
func judge(m gpu.Model, s gpu.Setting, free int64, limit int) Fit {
	need := gpu.Needs(m, s)
	return Fit{Need: need, Context: s.Context, Free: free, Verdict: gpu.Judge(need.Total, free), Largest: gpu.Largest(m, s, free, limit)}
}

// FitModel judges a model of the runner's; a context of 0 is its own.
func (y *Yard) FitModel(ctx context.Context, name string, s gpu.Setting) (Fit, error) {
	client, m, tag, err := y.pick(ctx, "fitting "+name, name)
	if err != nil {
		return Fit{}, err
	}
	defer client.Close()
	if detailed, err := client.Model(ctx, tag); err == nil {
		m.Context, m.Slots = detailed.Context, detailed.Slots
	}
	if s.Context == 0 {
		s.Context = m.Context
	}
	if s.Parallel == 0 {
		s.Parallel = m.Slots
	}
	fit := judge(shape(m), s, gpu.Free(y.ReadVRAM(ctx).Devices), max(m.Trained, m.Context))
	fit.Model = tag
	return fit, nil
}

// FitFile judges a model by Model Runner's object of it.
func (y *Yard) FitFile(ctx context.Context, file string, s gpu.Setting) (Fit, error) {
	data, err := os.ReadFile(file)
	var m runner.Model
	if err == nil {
		m, err = runner.ParseModel(data)
	}
	if err != nil {
		return Fit{}, &Error{Kind: Refused, What: "reading " + file, Why: err.Error(), Remedy: "give Model Runner's object of the model: GET /models/NAME, or docker model inspect NAME", Err: err}
	}
	if s.Context == 0 {
		s.Context = m.Context
	}
	return judge(shape(m), s, gpu.Free(y.ReadVRAM(ctx).Devices), max(m.Trained, m.Context, s.Context)), nil
}

// fits judges the models of the runner by what is free, and what unloading those
// that are loaded would free.
func fits(models []Model, all []runner.Model, vram VRAM) []Model {
	free, total := gpu.Free(vram.Devices), gpu.Total(vram.Devices)
	shapes := map[string]runner.Model{}
	for _, m := range all {
		shapes[m.ID] = m
	}
	needs := make([]gpu.Need, len(models))
	available := free
	for i, m := range models {
		one := shapes[m.ID]
		needs[i] = gpu.Needs(shape(one), gpu.Setting{Context: m.Context, Parallel: one.Slots})
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
		if m.Loaded {
			m.Fit = gpu.Fits
		}
	}
	return models
}

// readVRAM is how often the devices are read while Claude Code depends on a model here.
const readVRAM = 15 * time.Second

// watchVRAM keeps the State's part about the devices.
func (s *Supervisor) watchVRAM(ctx context.Context) {
	for {
		v := s.yard.ReadVRAM(ctx)
		s.fact(ctx, func(k *known) {
			k.vram = v
			k.judge()
		})
		var again <-chan time.Time
		if s.present().needs().route && len(v.Devices) > 0 {
			again = time.After(readVRAM)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.lookVRAM:
		case <-again:
		}
	}
}
