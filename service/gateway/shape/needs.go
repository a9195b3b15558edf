package shape

import "github.com/switchyard-app/switchyard/service/gateway/document"

// Needs are what a model and its chat template want of a request. The zero value is a
// template that takes whatever Claude Code says, once it is in order.
type Needs struct {
	Blind        bool // it sees no images
	LooseSchemas bool // its engine refused a tool's schema: all are loosened
	ShortIDs     bool // a tool call's id has exactly nine letters and digits (Mistral Nemo)
	OneCall      bool // an assistant's message holds one tool call (Llama 3.1)
	NoTools      bool // the template knows no tools: calls and results are written as text (Gemma)
	NoSystem     bool // the template refuses every system message: its text opens the first user message
	Mindless     bool // the template shows no thoughts of earlier answers; with them some engines lose the words beside them
	Thinks       bool // the template reads enable_thinking (Qwen, GLM)
	Thinking     bool // the template reads a variable "thinking" (DeepSeek, Granite, Kimi)
	Efforts      bool // the template reads reasoning_effort (gpt-oss)

	// Markers are the words with which the template parts the speakers. In a file they
	// would be control tokens too.
	Markers []string
}

// Lesson is a need that was learned from an engine's refusal.
type Lesson string

const (
	Blind        Lesson = "blind"
	LooseSchemas Lesson = "loose_schemas"
	ShortIDs     Lesson = "short_ids"
	OneCall      Lesson = "one_call"
	NoTools      Lesson = "no_tools"
	NoSystem     Lesson = "no_system"
)

// With are the needs with a lesson learned.
func (n Needs) With(l Lesson) Needs {
	if need := n.taught(l); need != nil {
		*need = true
	}
	return n
}

// Has reports whether the needs hold a lesson already.
func (n Needs) Has(l Lesson) bool {
	need := n.taught(l)
	return need != nil && *need
}

// taught is the need that a lesson teaches; nil for a lesson of another version.
func (n *Needs) taught(l Lesson) *bool {
	switch l {
	case Blind:
		return &n.Blind
	case LooseSchemas:
		return &n.LooseSchemas
	case ShortIDs:
		return &n.ShortIDs
	case OneCall:
		return &n.OneCall
	case NoTools:
		return &n.NoTools
	case NoSystem:
		return &n.NoSystem
	}
	return nil
}

// Model is the model that a request is written for.
type Model struct {
	Tag   string // how the engine knows it
	Needs Needs
}

// Note says what of a request the model got otherwise than it was sent. It never holds a
// word of the request.
type Note string

// ImageUnseen says that a note took the place of an image, because the model sees none.
const ImageUnseen Note = "image_unseen"

// notes are those of one request.
type notes map[Note]bool

func (n notes) add(what Note) { n[what] = true }

// Shaped is a request as the engine gets it.
type Shaped struct {
	Body  document.Rope
	Notes []Note // sorted, each once

	// Prefill is what the answer goes on from. Anthropic's does not repeat it; a llama.cpp's
	// that is not streamed does.
	Prefill string
}
