package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Reason sorts failures for records and metrics; it never holds words of a prompt.
type Reason string

const (
	Overflow     Reason = "context_overflow"
	ModelMissing Reason = "model_missing"
	OutOfMemory  Reason = "out_of_memory"
	RunnerDown   Reason = "runner_down"
	EngineFailed Reason = "engine_failed"
	Loading      Reason = "model_loading"
	Refused      Reason = "request_refused" // by the engine
	NoImages     Reason = "no_images"
	TooLarge     Reason = "request_too_large"
	Malformed    Reason = "malformed_request"
	Unauthorized Reason = "unauthorized"
	QueueFull    Reason = "queue_full"
	Broken       Reason = "broken_answer"
	ClientGone   Reason = "client_gone"
)

// failure is an error as Claude Code understands it. Which statuses it tries
// again, and how long, was measured with 2.1.197 and 2.1.330: 400 is final, 404
// is tried twice, 401, 5xx and 529 eleven times in about three minutes.
type failure struct {
	status  int
	kind    string // Anthropic's error type
	reason  Reason
	message string
	retry   time.Duration // when to try again; 0: not said
}

func (f *failure) Error() string { return f.message }

// body is the error in Anthropic's shape, on one line.
func (f *failure) body() []byte {
	out, _ := json.Marshal(map[string]any{"type": "error", "error": map[string]string{"type": f.kind, "message": f.message}})
	return out
}

// event is the error in the midst of a stream.
func (f *failure) event() []byte { return fmt.Appendf(nil, "event: error\ndata: %s\n\n", f.body()) }

// header says what belongs to the status.
func (f *failure) header(h http.Header) {
	h.Set("Content-Type", "application/json")
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.retry.Seconds())))
	}
}

func (f *failure) write(w http.ResponseWriter) {
	f.header(w.Header())
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body())
}

func invalid(reason Reason, message string) *failure {
	return &failure{status: http.StatusBadRequest, kind: "invalid_request_error", reason: reason, message: message}
}

// overflow is the text on which Claude Code compacts the conversation.
func overflow(tokens, limit int) *failure {
	return invalid(Overflow, fmt.Sprintf("prompt is too long: %d tokens > %d maximum", tokens, limit))
}

func notFound(path string) *failure {
	return &failure{status: http.StatusNotFound, kind: "not_found_error", reason: Malformed, message: "Switchyard's gateway has no " + path}
}

func missing(model string) *failure {
	message := "Docker Model Runner has no model " + model + ": pull it (switchyard pull " + model + "), or choose another one (switchyard local MODEL)"
	if model == "" {
		message = "no local model is chosen: choose one (switchyard local MODEL)"
	}
	return &failure{status: http.StatusNotFound, kind: "not_found_error", reason: ModelMissing, message: message}
}

// gone is for the record only: its client has left.
func gone() *failure {
	const closedRequest = 499 // nginx's number for it
	return &failure{status: closedRequest, kind: "api_error", reason: ClientGone, message: "the client is gone"}
}

func down(why string) *failure {
	return &failure{status: http.StatusServiceUnavailable, kind: "api_error", reason: RunnerDown, retry: 5 * time.Second,
		message: "Docker Model Runner does not answer (" + why + "): start it, or go back to the cloud (switchyard cloud)"}
}

func broken(why string) *failure {
	return &failure{status: http.StatusBadGateway, kind: "api_error", reason: Broken,
		message: "the local model's answer was cut short: " + why + "; the engine may have run out of memory (switchyard runner logs)"}
}

var (
	exceeds   = regexp.MustCompile(`(?i)exceeds? the available context size`)
	numbers   = regexp.MustCompile(`\((\d+) tokens\)`)
	gpuMemory = regexp.MustCompile(`(?i)not enough (gpu )?memory|out of memory|cudaMalloc failed|failed to allocate`)
	template  = regexp.MustCompile(`(?i)jinja|template|raise_exception`)
	images    = regexp.MustCompile(`(?i)image input is not supported|mmproj`)
)

// upstreamError is what Model Runner and llama.cpp say: Anthropic's shape,
// llama.cpp's, or plain text.
type upstreamError struct {
	message       string
	tokens, limit int
}

func readUpstream(body []byte) upstreamError {
	var shaped struct {
		Error   json.RawMessage
		Message string
	}
	said := upstreamError{message: string(body)}
	if json.Unmarshal(body, &shaped) == nil {
		var inner struct {
			Message string
			Tokens  int `json:"n_prompt_tokens"`
			Limit   int `json:"n_ctx"`
		}
		var plain string
		switch {
		case json.Unmarshal(shaped.Error, &inner) == nil && inner.Message != "":
			said = upstreamError{inner.Message, inner.Tokens, inner.Limit}
		case json.Unmarshal(shaped.Error, &plain) == nil && plain != "":
			said.message = plain
		case shaped.Message != "":
			said.message = shaped.Message
		}
	}
	said.message = strings.Join(strings.Fields(said.message), " ")
	const enough = 300
	if runes := []rune(said.message); len(runes) > enough {
		said.message = string(runes[:enough]) + "…"
	}
	return said
}

// translate turns the runner's answer into an error that Claude Code acts on
// rightly and a person understands.
func translate(status int, body []byte, model Model) *failure {
	said := readUpstream(body)
	name := short(model.Tag)
	switch {
	case exceeds.MatchString(said.message):
		if found := numbers.FindAllStringSubmatch(said.message, 2); len(found) == 2 && said.tokens == 0 {
			said.tokens, _ = strconv.Atoi(found[0][1])
			said.limit, _ = strconv.Atoi(found[1][1])
		}
		said.limit = cmp.Or(said.limit, model.Context)
		return overflow(max(said.tokens, said.limit+1), said.limit)
	case gpuMemory.MatchString(said.message):
		// Final: every further try would load the model again.
		return invalid(OutOfMemory, "not enough GPU memory for "+name+contextWords(model)+
			": choose a smaller model or context, or unload another model (switchyard unload)")
	case images.MatchString(said.message):
		return invalid(NoImages, name+" cannot see images: take the image out, or choose a model with vision")
	case status == http.StatusNotFound:
		return missing(name)
	case status == http.StatusRequestEntityTooLarge:
		return &failure{status: status, kind: "request_too_large", reason: TooLarge,
			message: "the request is larger than Docker Model Runner accepts (10 MB): leave large images out, or /compact"}
	case status == http.StatusServiceUnavailable:
		return &failure{status: status, kind: "api_error", reason: Loading, retry: 5 * time.Second, message: name + " is being loaded: " + said.message}
	case status >= 500 && strings.Contains(said.message, "terminated unexpectedly"):
		return &failure{status: http.StatusInternalServerError, kind: "api_error", reason: EngineFailed,
			message: "the inference engine of " + name + " crashed; Docker Model Runner restarts it (switchyard runner logs says why)"}
	case status >= 500:
		return &failure{status: http.StatusInternalServerError, kind: "api_error", reason: EngineFailed, message: "Docker Model Runner: " + said.message}
	case template.MatchString(said.message):
		return invalid(Refused, "the chat template of "+name+" refuses the conversation ("+said.message+"): choose another model")
	case status >= 400:
		return invalid(Refused, name+" refuses the request: "+said.message)
	}
	return broken(fmt.Sprintf("status %d", status))
}

func contextWords(m Model) string {
	if m.Context == 0 {
		return ""
	}
	return fmt.Sprintf(" with a context of %d tokens", m.Context)
}

// short is a tag as people write it.
func short(tag string) string {
	return strings.TrimSuffix(strings.TrimPrefix(tag, "docker.io/"), ":latest")
}
