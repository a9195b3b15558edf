// Package verdict says what the errors of llama.cpp and of Docker Model Runner mean, and what
// follows from them. It is a table: an error in, a verdict out.
package verdict

import (
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// Reason sorts failures for records and metrics; it never holds words of a prompt.
type Reason string

// What an engine or the runner may say.
const (
	Overflow        Reason = "context_overflow"
	ModelMissing    Reason = "model_missing"
	ModelDamaged    Reason = "model_damaged"
	ModelUnknown    Reason = "model_unknown_to_engine" // of an architecture that the engine does not know
	EngineOld       Reason = "engine_too_old"          // it lacks what Claude Code needs
	OutOfMemory     Reason = "out_of_memory"
	EngineFailed    Reason = "engine_failed"
	Loading         Reason = "model_loading"
	Busy            Reason = "runner_busy"
	Crowded         Reason = "context_crowded"  // requests that share the context need more than it together
	Refused         Reason = "request_refused"  // by the engine
	TemplateRefused Reason = "template_refused" // by the model's chat template
	SchemaRefused   Reason = "schema_refused"   // a tool's schema, by the engine
	BadOutput       Reason = "bad_output"       // the model wrote what its own format does not allow
	NoImages        Reason = "no_images"
	BadImage        Reason = "bad_image"
	TooLarge        Reason = "request_too_large"
	Broken          Reason = "broken_answer"
	RunnerDown      Reason = "runner_down"
)

// Effect is what follows from a failure.
type Effect struct {
	// Status and Type are what Claude Code gets, and decide whether it tries again. As was
	// measured with 2.1.197 and 2.1.330: 400 is final, 404 is tried twice, 401, 5xx and 529
	// eleven times in about three minutes.
	Status int
	Type   string        // of Anthropic's error
	Retry  time.Duration // when to try again; 0: not said
	Sick   bool          // the runner or the engine may need a cure; otherwise the keeper leaves it alone
}

var effects = map[Reason]Effect{
	ModelMissing: {Status: http.StatusNotFound, Type: "not_found_error"},
	EngineFailed: {Status: http.StatusInternalServerError, Type: "api_error", Sick: true},
	BadOutput:    {Status: http.StatusInternalServerError, Type: "api_error"},
	Broken:       {Status: http.StatusBadGateway, Type: "api_error", Sick: true},
	RunnerDown:   {Status: http.StatusServiceUnavailable, Type: "api_error", Retry: 5 * time.Second, Sick: true},
	Loading:      {Status: http.StatusServiceUnavailable, Type: "api_error", Retry: 5 * time.Second},
	Busy:         {Status: 529, Type: "overloaded_error", Retry: 10 * time.Second},
	Crowded:      {Status: 529, Type: "overloaded_error", Retry: 2 * time.Second},
	TooLarge:     {Status: http.StatusRequestEntityTooLarge, Type: "request_too_large"},
}

// Effect is what follows from a failure. What is not listed is final: the same request would
// fail in the same way.
func (r Reason) Effect() Effect {
	if e, ok := effects[r]; ok {
		return e
	}
	return Effect{Status: http.StatusBadRequest, Type: "invalid_request_error"}
}

// Verdict is what an error means.
type Verdict struct {
	Reason  Reason
	Said    string         // the part of the text that names the reason, on one line and without words of the conversation
	Lessons []shape.Lesson // what the model may need of a request, the likeliest first
	Tokens  int            // of an overflow: of the prompt; 0: not said
	Limit   int            // of an overflow: of the context; 0: not said
}

// Of judges an error by its status and its body. A body within a stream has status 500.
func Of(status int, body []byte) Verdict {
	text := read(body)
	v := Verdict{Reason: byStatus(status), Said: text.reason(), Tokens: text.tokens, Limit: text.limit}
	for _, r := range compiled() {
		if r.pattern.MatchString(text.whole) || r.pattern.MatchString(v.Said) {
			v.Reason, v.Lessons = r.reason, r.lessons
			break
		}
	}
	if v.Reason == Overflow && v.Tokens == 0 {
		v.Tokens, v.Limit = text.numbers()
	}
	return v
}

// byStatus judges a text that is not known.
func byStatus(status int) Reason {
	switch {
	case status == http.StatusNotFound:
		return ModelMissing
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusTooManyRequests:
		return Busy
	case status == http.StatusServiceUnavailable:
		return Loading
	case status >= http.StatusInternalServerError:
		return EngineFailed
	case status >= http.StatusBadRequest:
		return Refused
	}
	return Broken
}

// compiled is the table. Its patterns are compiled when a request fails, not at the start of
// every command.
var compiled = sync.OnceValue(func() []rule {
	all := make([]rule, len(table))
	for i, r := range table {
		all[i] = rule{row: r, pattern: regexp.MustCompile(`(?is)` + r.text)}
	}
	return all
})

type rule struct {
	row
	pattern *regexp.Regexp
}
