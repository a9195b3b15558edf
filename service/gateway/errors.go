package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// Reason sorts failures for records and metrics; it never holds words of a prompt.
type Reason = verdict.Reason

// The reasons that others than the gateway know.
const (
	Overflow     = verdict.Overflow
	EngineFailed = verdict.EngineFailed
	Broken       = verdict.Broken
	RunnerDown   = verdict.RunnerDown
)

// The reasons that no engine gives.
const (
	Malformed    Reason = "malformed_request"
	Unauthorized Reason = "unauthorized"
	QueueFull    Reason = "queue_full"
	ClientGone   Reason = "client_gone"
)

// failure is an error as Claude Code understands it.
type failure struct {
	status  int
	kind    string // Anthropic's error type
	reason  Reason
	message string
	retry   time.Duration  // when to try again; 0: not said
	lessons []shape.Lesson // what the model may need of the request
}

// fail is a failure with what follows from its reason.
func fail(reason Reason, message string) *failure {
	e := reason.Effect()
	return &failure{status: e.Status, kind: e.Type, reason: reason, message: message, retry: e.Retry}
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

// malformed says why a request cannot be read, in words that name no library.
func malformed(err error) *failure {
	return fail(Malformed, "not a Messages request: "+strings.ReplaceAll(err.Error(), "jsontext: ", ""))
}

// overflow is the text on which Claude Code compacts the conversation.
func overflow(tokens, limit int) *failure {
	return fail(Overflow, fmt.Sprintf("prompt is too long: %d tokens > %d maximum", tokens, limit))
}

func notFound(path string) *failure {
	return &failure{status: http.StatusNotFound, kind: "not_found_error", reason: Malformed, message: "Switchyard's gateway has no " + path}
}

func missing(model string) *failure {
	message := "Docker Model Runner has no model " + model + ": pull it (switchyard pull " + model + "), or choose another one (switchyard local MODEL)"
	if model == "" {
		message = "no local model is chosen: choose one (switchyard local MODEL)"
	}
	return fail(verdict.ModelMissing, message)
}

// gone is for the record only: its client has left.
func gone() *failure {
	const closedRequest = 499 // nginx's number for it
	return &failure{status: closedRequest, kind: "api_error", reason: ClientGone, message: "the client is gone"}
}

func down(why string) *failure {
	return fail(RunnerDown, "Docker Model Runner does not answer ("+why+"): start it, or go back to the cloud (switchyard cloud)")
}

func broken(why string) *failure {
	return fail(Broken, "the local model's answer was cut short: "+why+"; the engine may have run out of memory (switchyard runner logs)")
}

// unreachable words why no answer came.
func unreachable(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var op *url.Error
	if errors.As(err, &op) {
		err = op.Err
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return broken("Docker Model Runner closed the connection")
	case isDial(err):
		return down("nothing listens there")
	}
	return down(err.Error())
}

// translate turns the runner's answer into an error that Claude Code acts on
// rightly and a person understands.
func translate(status int, body []byte, model Model) *failure {
	v := verdict.Of(status, body)
	f := fail(v.Reason, words(v, model))
	switch v.Reason {
	case Overflow:
		limit := cmp.Or(v.Limit, model.Context)
		f = overflow(max(v.Tokens, limit+1), limit)
	case verdict.ModelMissing:
		f = missing(short(model.Tag))
	case Broken:
		f = broken(fmt.Sprintf("status %d", status))
	}
	f.lessons = v.Lessons
	return f
}

// words say what a verdict means, and what to do.
func words(v verdict.Verdict, model Model) string {
	name := cmp.Or(short(model.Tag), "the model")
	switch v.Reason {
	case verdict.OutOfMemory:
		return "not enough GPU memory for " + name + contextWords(model) + ": choose a smaller model or context, or unload another model (switchyard unload)"
	case verdict.NoImages:
		return name + " cannot see images: take the image out, or choose a model with vision"
	case verdict.BadImage:
		return name + " cannot read an image (" + v.Said + "): take it out"
	case verdict.TemplateRefused:
		return "the chat template of " + name + " refuses the conversation (" + v.Said + "): choose another model"
	case verdict.SchemaRefused:
		return name + "'s engine cannot use the schema of a tool (" + v.Said + "): switch that tool's MCP server off, or choose another model"
	case verdict.Refused:
		return name + " refuses the request: " + v.Said
	case verdict.BadOutput:
		return name + " wrote what its own format does not allow (" + v.Said + "): it may do better when asked again"
	case verdict.ModelUnknown:
		return "the engine does not know the architecture of " + name + ": update Docker Model Runner (switchyard runner install --pull), or choose another model"
	case verdict.ModelDamaged:
		return "the file of " + name + " is damaged: remove it (switchyard rm " + name + "), and pull it again"
	case verdict.EngineOld:
		return "Docker Model Runner or its engine is too old for Claude Code: update it (switchyard runner install --pull)"
	case verdict.TooLarge:
		return "the request is larger than Docker Model Runner accepts (10 MB): leave large images out, or /compact"
	case verdict.Loading:
		return name + " is being loaded: " + v.Said
	case verdict.Crowded:
		return "the sessions on " + name + contextWords(model) + " need more context together than it has: they take turns now"
	case verdict.Busy:
		return "Docker Model Runner is busy: " + v.Said
	}
	if v.Said == "" || strings.Contains(v.Said, "terminated unexpectedly") {
		return "the inference engine of " + name + " crashed; Docker Model Runner restarts it (switchyard runner logs says why)"
	}
	return "Docker Model Runner: " + v.Said
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
