package service

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
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
	fit := judge(shape(m), s, gpu.Free(y.ReadVRAM(ctx).Devices), max(m.Trained, m.Context))
	fit.Model = tag
	if fit.Need = y.need(m, s); fit.Bound == gpu.Learnt {
		fit.Verdict = gpu.Judge(fit.Total, fit.Free)
	}
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

// load is a model that is about to be loaded, and what there is for it.
type load struct {
	model     runner.Model
	tag       string
	need      gpu.Need
	free      int64 // −1: unknown
	available int64 // with what is loaded and idle unloaded; −1: unknown
	largest   int   // context that fits, in tokens; 0: none, or unknown
}

// beforeLoad looks what a load of a model will need. Without GPUs that tell, or for
// a model that is loaded already, nothing is known.
func (y *Yard) beforeLoad(ctx context.Context, client *runner.Client, name string) load {
	l := load{free: -1, available: -1}
	v := y.ReadVRAM(ctx)
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
		for _, m := range all {
			if !one.InUse && (m.ID == one.Model || slices.Contains(m.Tags, runner.Full(one.Model))) {
				idle += y.need(m, gpu.Setting{Context: m.Context}).Total
			}
		}
	}
	s := gpu.Setting{Context: l.model.Context, Parallel: l.model.Slots, KV: l.model.Cache}
	l.tag, l.need, l.free = tag, y.need(l.model, s), free
	l.available = min(free+idle, gpu.Total(v.Devices))
	l.largest = gpu.Largest(shape(l.model), s, l.available, max(l.model.Trained, l.model.Context))
	return l
}

// need is the estimate, or what a load before really took.
func (y *Yard) need(m runner.Model, s gpu.Setting) gpu.Need {
	return learnt(y.learned(), m, s)
}

func learnt(known map[string]learned, m runner.Model, s gpu.Setting) gpu.Need {
	need := gpu.Needs(shape(m), s)
	if took := known[m.ID].Took[s.Context]; took > 0 && s.KV == "" && (s.Parallel == 0 || s.Parallel == m.Slots) {
		need.Total, need.Bound = took, gpu.Learnt
	}
	return need
}

// warning says that a load may fail.
func (l load) warning() (Warning, bool) {
	verdict := gpu.Judge(l.need.Total, l.available)
	if verdict != gpu.TooBig && verdict != gpu.Tight {
		return Warning{}, false
	}
	about := []any{runner.Short(l.tag), words.Size(l.need.Total), words.Tokens(l.model.Context), words.Size(max(l.available, 1))}
	code, text := "model_tight", words.T("%s barely fits the GPU: it needs about %s (context %s); %s is available", about...)
	if verdict == gpu.TooBig {
		code, text = "model_too_big", words.T("%s does not fit the GPU: it needs about %s (context %s); %s is available", about...)
	}
	return Warning{code, text, l.remedy()}, true
}

// remedy is what can be done about it.
func (l load) remedy() string {
	if l.largest >= runner.MinContext {
		return words.T("a smaller context fits: switchyard context %s %s", runner.Short(l.tag), words.Tokens(l.largest))
	}
	quantised := gpu.Setting{Context: l.model.Context, Parallel: l.model.Slots, KV: "q8_0"}
	if l.model.Cache == "" && gpu.Judge(gpu.Needs(shape(l.model), quantised).Total, l.available) != gpu.TooBig {
		return "a quantised cache fits: switchyard context " + runner.Short(l.tag) + " " + words.Tokens(l.model.Context) + " --kv q8_0"
	}
	return "choose a smaller model: switchyard models"
}

// explain adds to an error of a load what was known before it.
func (l load) explain(err error) error {
	if !runner.OutOfMemory(err) || l.tag == "" {
		return err
	}
	e := commandError("", err).(*Error)
	e.Why += fmt.Sprintf(" (about %s with a context of %s; %s can be had)", words.Size(l.need.Total), words.Tokens(l.model.Context), words.Size(max(l.available, 1)))
	e.Remedy = l.remedy()
	return e
}

// learnTook remembers what a load took, when it is likely that it was this load.
func (y *Yard) learnTook(ctx context.Context, before load) {
	if before.free < 0 || before.tag == "" || before.model.Cache != "" {
		return
	}
	took := before.free - gpu.Free(y.ReadVRAM(ctx).Devices)
	estimate := before.need.Total
	if took < estimate/3 || took > 2*estimate { // somebody else's, or on the CPU
		return
	}
	y.learn(before.model.ID, func(l *learned) {
		if l.Took == nil {
			l.Took = map[int]int64{}
		}
		l.Took[before.model.Context] = took
	})
}

// fits judges the models of the runner by what is free, and what unloading those
// that are loaded would free.
func (y *Yard) fits(models []Model, all []runner.Model, vram VRAM) []Model {
	free, total := gpu.Free(vram.Devices), gpu.Total(vram.Devices)
	shapes := map[string]runner.Model{}
	for _, m := range all {
		shapes[m.ID] = m
	}
	known := y.learned()
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

// ContextSizes are the contexts that a person is offered, in tokens.
var ContextSizes = []int{32 << 10, 64 << 10, 96 << 10, 128 << 10, 192 << 10, 256 << 10}

// ContextFit is the verdict on the model in use at another context.
type ContextFit struct {
	Context int         `json:"context"` // tokens
	Need    int64       `json:"need_bytes"`
	Fit     gpu.Verdict `json:"fit"`
}

// contexts judges the model in use at the sizes that are offered, as if it alone
// were loaded.
func contexts(tag string, shapes []runner.Model, models []Model, v VRAM) (out []ContextFit) {
	for _, m := range shapes {
		if !slices.Contains(m.Tags, tag) {
			continue
		}
		available := gpu.Free(v.Devices)
		if available >= 0 {
			for _, l := range models {
				if l.Loaded {
					available += l.Need
				}
			}
			available = min(available, max(gpu.Total(v.Devices), 0))
		}
		for _, size := range ContextSizes {
			if m.Trained > 0 && size > m.Trained {
				break
			}
			need := gpu.Needs(shape(m), gpu.Setting{Context: size, Parallel: m.Slots}).Total
			out = append(out, ContextFit{size, need, gpu.Judge(need, available)})
		}
	}
	return out
}

// readVRAM is how often the devices are read while Claude Code depends on a model here.
const readVRAM = 15 * time.Second

// watchVRAM keeps the State's part about the devices.
func (s *Supervisor) watchVRAM(ctx context.Context) {
	var short strain
	for {
		v := s.yard.ReadVRAM(ctx)
		now := s.State()
		var warnings []Warning
		if now.needs().route {
			short.see(gpu.Free(v.Devices), gpu.Total(v.Devices))
			if w, ok := short.warning(v, now.Models); ok {
				warnings = append(warnings, w)
			}
			if m, ok := onCPU(v, now.Models); ok {
				warnings = append(warnings, Warning{"gpu_unused", words.T("%s is running on the CPU, not the GPU, and will be slow", runner.Short(m.Tag)),
					words.T("see what is missing: switchyard doctor")})
			}
		} else {
			short = strain{}
		}
		s.fact(ctx, func(k *known) {
			k.vram, k.strained = v, warnings
			k.judge(s.yard)
		})
		var again <-chan time.Time
		if s.State().needs().route && len(v.Devices) > 0 {
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
