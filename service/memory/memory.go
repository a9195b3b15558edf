// Package memory is about graphics memory: how much there is, how much a model needs, and
// when it runs short.
package memory

import (
	"context"
	"slices"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Read reads the GPUs in a process of its own, because a GPU's library may
// crash or hang.
func Read(ctx context.Context, m *machine.Machine) state.VRAM {
	if m.Program == "" {
		return state.VRAM{Devices: []gpu.Device{}}
	}
	devices, err := gpu.Read(ctx, m.Program, "gpu", "--probe")
	if err != nil {
		return state.VRAM{Devices: []gpu.Device{}, Why: err.Error()}
	}
	return state.VRAM{Devices: devices}
}

// Shape is the part of a model that decides how much memory it needs.
func Shape(m runner.Model) gpu.Model {
	return gpu.Model{Architecture: m.Architecture, Size: m.Size, Keys: m.Metadata}
}

// Fit says whether a model fits the GPU with a context.
type Fit struct {
	gpu.Need
	Model   string      `json:"model,omitempty"`
	Context int         `json:"context"`
	Free    int64       `json:"free_bytes"` // -1: unknown
	Verdict gpu.Verdict `json:"verdict"`
	Largest int         `json:"largest_context"` // tokens that fit; 0: none, or unknown
}

// Judge says whether a model fits into free bytes. The largest context it looks for is limit.
func Judge(m gpu.Model, s gpu.Setting, free int64, limit int) Fit {
	need := gpu.Needs(m, s)
	return Fit{Need: need, Context: s.Context, Free: free, Verdict: gpu.Judge(need.Total, free), Largest: gpu.Largest(m, s, free, limit)}
}

// Contexts says for each offered context size whether the model would fit, if no other
// model were loaded.
func Contexts(tag string, shapes []runner.Model, models []state.Model, v state.VRAM) (out []state.ContextFit) {
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
		for _, size := range state.ContextSizes {
			if m.Trained > 0 && size > m.Trained {
				break
			}
			need := gpu.Needs(Shape(m), gpu.Setting{Context: size, Parallel: m.Slots}).Total
			out = append(out, state.ContextFit{Context: size, Need: need, Fit: gpu.Judge(need, available)})
		}
	}
	return out
}
