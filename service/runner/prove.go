package runner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Proof is one thing that must hold before Claude Code is pointed to a model.
type Proof struct {
	Name   string // one of Proofs
	OK     bool
	Minor  bool // it does not hold, and need not: not every session sends such a request
	Took   time.Duration
	Detail string // what was found
	Remedy string // what to do when it does not hold
	Err    error  // why it does not hold; nil when the runner answered, but not well enough
}

// Proofs are the names of all proofs, in their order.
func Proofs() []string {
	all := append([]string{"runner", "model", "context", "message", "system_message"}, Conversations()...)
	return append(all, "tool_call")
}

// MinContext is the smallest context, in tokens, that Claude Code can work in:
// it opens with 20,000 to 25,000.
const MinContext = 32_768

// Wish says what to prove, and for whom. Its functions may be nil.
type Wish struct {
	Model   string            // empty: the only one
	Context int               // tokens that Claude Code is to be told; 0: the model's own
	Proven  func(Model) bool  // the model's conversations were proven before, and are left out
	Begin   func(name string) // a proof begins
	Done    func(Proof)       // a proof ended
}

// Prove asks everything that Claude Code will rely on, in order, and stops where
// the rest cannot hold. It returns the model and its full tag; the error is a
// *ProofError, about the first proof that did not hold and has to.
func (c *Client) Prove(ctx context.Context, w Wish) (Model, string, error) {
	p := &prover{c: c, begin: w.Begin, done: w.Done}
	var models []Model
	if !p.prove(ctx, "runner", func(ctx context.Context) (detail, remedy string, err error) {
		models, detail, err = c.proveRunner(ctx)
		return detail, "", err
	}) {
		return Model{}, "", p.err
	}
	var chosen Model
	var tag string
	if !p.prove(ctx, "model", func(ctx context.Context) (detail, remedy string, err error) {
		chosen, tag, err = c.proveModel(ctx, models, w.Model)
		return tag, "", err
	}) {
		return Model{}, "", p.err
	}
	p.prove(ctx, "context", func(context.Context) (string, string, error) { return contextSuffices(&chosen, w.Context) })
	if !p.prove(ctx, "message", func(ctx context.Context) (string, string, error) { return c.proveMessage(ctx, tag) }) {
		return chosen, tag, p.err
	}
	p.prove(ctx, "system_message", func(ctx context.Context) (string, string, error) { return c.proveSystem(ctx, tag) })
	// Directly, such a model refuses every conversation with a tool's result for one reason.
	hopeless := chosen.NoTools && c.messages == nil
	if !hopeless && (w.Proven == nil || !w.Proven(chosen)) {
		for _, talk := range conversations {
			p.prove(ctx, talk.name, func(ctx context.Context) (string, string, error) { return c.proveConversation(ctx, tag, talk) })
		}
	}
	// Last, when the gateway knows whether it has to write tools as text.
	p.prove(ctx, "tool_call", func(ctx context.Context) (string, string, error) { return c.proveTool(ctx, chosen, tag) })
	return chosen, tag, p.err
}

// UnknownModelError says that a model is not in the store.
type UnknownModelError struct {
	Name    string
	Nearest []string
}

func (e *UnknownModelError) Error() string { return e.Why() + "; " + e.Remedy() }

// Why says what is wrong.
func (e *UnknownModelError) Why() string {
	switch {
	case e.Name == "" && len(e.Nearest) == 0:
		return "Model Runner has no model"
	case e.Name == "":
		return "there are several models and none was chosen"
	}
	return "Model Runner has no model " + e.Name
}

// Remedy says what to do.
func (e *UnknownModelError) Remedy() string {
	switch {
	case len(e.Nearest) == 0 && e.Name == "":
		return "pull one, for example: switchyard pull ai/qwen3-coder"
	case len(e.Nearest) == 0:
		return "pull it: switchyard pull " + e.Name
	case e.Name == "":
		return "choose one: " + strings.Join(e.Nearest, ", ")
	}
	return "the nearest are " + strings.Join(e.Nearest, ", ") + "; or pull it: switchyard pull " + e.Name
}

// Pick is Choose, but takes the only model when no name is given. The error is an *UnknownModelError.
func Pick(models []Model, name string) (Model, string, error) {
	if name == "" {
		if len(models) == 1 {
			return models[0], models[0].Tag(), nil
		}
		var tags []string
		for _, m := range models {
			tags = append(tags, Short(m.Tag()))
		}
		return Model{}, "", &UnknownModelError{Nearest: tags}
	}
	found, tag, nearest := Choose(models, name)
	if tag == "" {
		return Model{}, "", &UnknownModelError{Name: name, Nearest: nearest}
	}
	return found, tag, nil
}

type prover struct {
	c     *Client
	begin func(string)
	done  func(Proof)
	err   error // of the first proof that failed
}

// prove runs one proof: detail when it holds, remedy (or an error) when it does not.
func (p *prover) prove(ctx context.Context, name string, f func(context.Context) (detail, remedy string, err error)) bool {
	if p.begin != nil {
		p.begin(name)
	}
	start := time.Now()
	detail, remedy, err := f(ctx)
	proof := Proof{Name: name, OK: err == nil && remedy == "", Took: time.Since(start), Detail: detail, Remedy: remedy, Err: err}
	var failed *Error
	var unknown *UnknownModelError
	switch {
	case errors.As(err, &failed):
		proof.Detail, proof.Remedy = failed.Why, failed.Remedy
	case errors.As(err, &unknown):
		proof.Detail, proof.Remedy = unknown.Why(), unknown.Remedy()
	case err != nil:
		proof.Detail = err.Error()
	}
	proof.Minor = !proof.OK && err == nil && slices.ContainsFunc(conversations, func(talk conversation) bool { return talk.name == name && talk.minor })
	if !proof.OK && !proof.Minor && p.err == nil {
		p.err = &ProofError{proof}
	}
	if p.done != nil {
		p.done(proof)
	}
	return proof.OK
}

// ProofError is the first proof that did not hold and has to.
type ProofError struct{ Proof Proof }

func (e *ProofError) Error() string { return e.Proof.Detail + "; " + e.Proof.Remedy }

func (e *ProofError) Unwrap() error { return e.Proof.Err }

func contextSuffices(m *Model, wish int) (detail, remedy string, err error) {
	if wish > 0 {
		if m.Context > 0 && wish > m.Context {
			return fmt.Sprintf("%d tokens wanted, the runner loads the model with %d", wish, m.Context),
				fmt.Sprintf("ask for at most %d", m.Context), nil
		}
		m.Context = wish
	}
	switch {
	case m.Context == 0:
		return "the runner does not say how large the context is", "", nil
	case m.Context < MinContext:
		return fmt.Sprintf("%d tokens; Claude Code opens with 20,000 to 25,000", m.Context),
			fmt.Sprintf("choose a model with at least %d, or repackage it with a larger context", MinContext), nil
	}
	return fmt.Sprintf("%d tokens", m.Context), "", nil
}

// firstAnswer bounds the wait for a small answer: the first one loads the model.
const firstAnswer = 6 * time.Minute

type block struct {
	Type  string
	Text  string
	Name  string
	Input json.RawMessage
}

// say sends a small Messages request and returns the content of the answer.
func (c *Client) say(ctx context.Context, doing string, request map[string]any) ([]block, error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	to, path := c, "/anthropic/v1/messages"
	if c.messages != nil {
		to, path = c.messages, "/v1/messages"
	}
	req, err := to.request(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Switchyard-Purpose", "proof") // gateway.PurposeHeader: it is no session's
	data, err := to.do(req, doing)
	if err != nil {
		return nil, err
	}
	var answer struct{ Content []block }
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, &Error{Endpoint: c.endpoint, Doing: doing, Status: http.StatusOK, Err: err,
			Why: "the answer is not a message", Remedy: "see what listens there; it may not be Model Runner"}
	}
	return answer.Content, nil
}

type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"` // a text, or blocks
}

func (c *Client) proveRunner(ctx context.Context) (models []Model, detail string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := c.Version(ctx)
	if err != nil {
		return nil, "", err
	}
	if models, err = c.Models(ctx); err != nil {
		return nil, "", err
	}
	plural := "s"
	if len(models) == 1 {
		plural = ""
	}
	return models, fmt.Sprintf("version %s, %d model%s", cmp.Or(version, "older than 1.0.30"), len(models), plural), nil
}

func (c *Client) proveModel(ctx context.Context, models []Model, name string) (chosen Model, tag string, err error) {
	found, tag, err := Pick(models, name)
	if err != nil {
		return Model{}, "", err
	}
	if chosen, err = c.Model(ctx, tag); err != nil {
		return Model{}, "", err
	}
	if len(found.Tags) == 0 {
		tag = found.ID
	}
	return chosen, tag, nil
}

func (c *Client) proveMessage(ctx context.Context, tag string) (detail, remedy string, err error) {
	content, err := c.say(ctx, "asking "+tag, map[string]any{
		"model": tag, "max_tokens": 16, "messages": []message{{"user", "Say hello.\n"}},
	})
	if err != nil {
		return "", "", err
	}
	// A reasoning model may spend the few tokens on thinking: that is an answer too.
	if len(content) == 0 || content[0].Text == "" && content[0].Type != "thinking" {
		return "the answer holds no text", "choose another model; Claude Code needs text in the answer", nil
	}
	return "answered", "", nil
}

func (c *Client) proveSystem(ctx context.Context, tag string) (detail, remedy string, err error) {
	_, err = c.say(ctx, "sending a system message in mid-conversation to "+tag, map[string]any{
		"model": tag, "max_tokens": 8,
		"system":   "You are a test.",
		"messages": []message{{"user", "One."}, {"system", "Be brief."}, {"user", "Say hello.\n"}},
	})
	if failed := refusal(err); failed != nil && c.messages == nil {
		return "the model's chat template refuses system messages in mid-conversation, which almost every request of Claude Code has",
			"start Switchyard (switchyard) and switch through its gateway, which folds them in; or choose a model with a lenient template", nil
	} else if failed != nil {
		return failed.Why, "choose another model", nil
	}
	if err != nil {
		return "", "", err
	}
	return "a system message in mid-conversation was accepted", "", nil
}
