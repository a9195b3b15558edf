package state

import (
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Model is a model in the runner's store.
type Model struct {
	Tag          string      `json:"tag"`
	ID           string      `json:"id"`
	Size         int64       `json:"size_bytes"`
	Context      int         `json:"context"` // tokens it is loaded with
	Trained      int         `json:"trained_context,omitempty"`
	Quantization string      `json:"quantization,omitempty"`
	Loaded       bool        `json:"loaded"`
	InUse        bool        `json:"in_use"`               // it is answering a request
	Tools        *bool       `json:"tools"`                // it calls tools; nil: not tried yet (switchyard check)
	NoTools      bool        `json:"no_tools,omitempty"`   // its chat template has none, so it calls none
	Need         int64       `json:"need_bytes,omitempty"` // of graphics memory, estimated
	Fit          gpu.Verdict `json:"fit,omitempty"`
	Used         time.Time   `json:"used,omitzero"` // when a switch or a request last used it
}

// Unfit reports whether Claude Code can only talk with the model.
func (m Model) Unfit() bool { return m.Tools != nil && !*m.Tools }

// UnfitWarning says so, and what to do.
func (m Model) UnfitWarning() Warning {
	w := Warning{Code: "model_no_tools", Text: words.T("%s calls no tools: Claude Code can only talk", runner.Short(m.Tag)),
		Remedy: words.T("choose a model that calls tools, such as %s", "ai/qwen3-coder")}
	if m.NoTools {
		w.Text = words.T("%s cannot call tools, since its chat template has none: Claude Code can only talk", runner.Short(m.Tag))
	}
	return w
}

// VRAM is the graphics memory of this machine.
type VRAM struct {
	Devices []gpu.Device `json:"devices"`
	Why     string       `json:"why,omitempty"` // why they could not be read
}

// ContextSizes are the contexts that the menu offers, in tokens.
var ContextSizes = []int{32 << 10, 64 << 10, 96 << 10, 128 << 10, 192 << 10, 256 << 10}

// ContextFit says whether the model in use would fit with another context.
type ContextFit struct {
	Context int         `json:"context"` // tokens
	Need    int64       `json:"need_bytes"`
	Fit     gpu.Verdict `json:"fit"`
}

// Resolve finds the full tag of a model by a name as the user types it; empty if there
// is none. An empty name means the only model.
func Resolve(models []Model, name string) string {
	all := make([]runner.Model, len(models))
	for i, m := range models {
		all[i] = runner.Model{ID: m.ID, Tags: []string{m.Tag}}
	}
	if name == "" && len(all) != 1 {
		return ""
	}
	_, tag, err := runner.Pick(all, name)
	if err != nil {
		return ""
	}
	return tag
}
