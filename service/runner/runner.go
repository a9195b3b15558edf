// Package runner is a client of Docker Model Runner's HTTP API, over TCP, a unix
// socket or Docker Desktop's socket.
package runner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Endpoint is where a runner's API is.
type Endpoint struct {
	URL    string // http(s)://host:port, without a final slash; over a socket only the path counts
	Socket string // a unix socket; empty for TCP
	Start  string // how a person starts it, for messages
}

// BaseURL is what Claude Code is pointed to; empty when no TCP client can reach the runner.
func (e Endpoint) BaseURL() string {
	if e.Socket != "" || e.URL == "" {
		return ""
	}
	return e.URL + "/anthropic"
}

func (e Endpoint) String() string {
	if e.Socket != "" {
		return e.Socket
	}
	return e.URL
}

// Error is a request that failed, with what a person can do about it.
type Error struct {
	Endpoint Endpoint
	Doing    string
	Status   int // HTTP status; 0 when nothing answered
	Why      string
	Remedy   string
	Err      error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s at %s: %s; %s", e.Doing, e.Endpoint, e.Why, e.Remedy)
}

func (e *Error) Unwrap() error { return e.Err }

// Unreachable tells whether nothing answered at all.
func (e *Error) Unreachable() bool { return e.Status == 0 }

// Model is a model in the runner's store.
type Model struct {
	ID           string   // sha256:…
	Tags         []string // full names, such as docker.io/ai/tiny:latest
	Size         int64    // bytes, from the runner's rounded display text; 0 when unknown
	Context      int      // tokens that the runner will load it with; 0 when unknown
	Trained      int      // tokens that it was made for; 0 when unknown
	Slots        int      // requests that its engine is told to serve at a time; 0 when it is not told
	Cache        string   // the type of its conversation's cache, such as q8_0; empty when it is not told
	Quantization string
	Parameters   string
	Architecture string
	Metadata     map[string]string // what its need of memory is computed from: keys of the file's architecture
}

// Tag is the model's first full name, or its id when it has none.
func (m Model) Tag() string {
	if len(m.Tags) == 0 {
		return m.ID
	}
	return m.Tags[0]
}

// Loaded is a model that the runner says is in memory. A killed engine stays in
// this list for a while: it proves nothing.
type Loaded struct {
	Backend string    `json:"backend_name"`
	Model   string    `json:"model_name"`
	Mode    string    `json:"mode"`
	Used    time.Time `json:"last_used"`
	InUse   bool      `json:"in_use"`
	Loading bool      `json:"loading"`
}

// Client talks to one runner.
type Client struct {
	endpoint Endpoint
	http     *http.Client
	messages *Client // where messages are sent; nil: to the runner itself
	token    string  // that messages are sent with
}

// maxAnswer bounds what is read of an answer: something else may listen on the port.
const maxAnswer = 8 << 20

// NewClient makes a client; it opens no connection.
func NewClient(e Endpoint) *Client {
	transport := &http.Transport{
		Proxy:                 nil, // a proxy would swallow loopback
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 0, // a model may take minutes to load; callers bound each request
	}
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	transport.DialContext = dialer.DialContext
	if e.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", e.Socket)
		}
	}
	return &Client{endpoint: e, http: &http.Client{
		Transport: transport,
		// Whatever listens there shall not send us anywhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Through sends the messages of the proofs through a gateway, as Claude Code will:
// url is its address, token what it asks for.
func (c *Client) Through(url, token string) {
	c.messages = NewClient(Endpoint{URL: url, Start: c.endpoint.Start})
	c.messages.token = token
}

// Endpoint is the runner that the client talks to.
func (c *Client) Endpoint() Endpoint { return c.endpoint }

// Close drops idle connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	if c.messages != nil {
		c.messages.Close()
	}
}

// Version is the runner's own version; empty for runners older than v1.0.30, which do not say.
func (c *Client) Version(ctx context.Context) (string, error) {
	var answer struct{ Version string }
	err := c.get(ctx, "asking the version", "/version", &answer)
	var failed *Error
	if errors.As(err, &failed) && failed.Status == http.StatusNotFound {
		return "", nil
	}
	return answer.Version, err
}

// Health asks for something that only a working runner can give: its models.
// /engines/status says "Running" without an engine.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.Models(ctx)
	return err
}

type modelObject struct {
	ID     string
	Tags   []string
	Config struct {
		Size         string
		Quantization string
		Parameters   string
		Architecture string
		ContextSize  int `json:"context_size"`
		GGUF         map[string]string
	}
}

func (o modelObject) model() Model {
	m := Model{
		ID: o.ID, Tags: o.Tags, Size: ParseSize(o.Config.Size), Context: o.Config.ContextSize,
		Quantization: o.Config.Quantization, Parameters: o.Config.Parameters, Architecture: o.Config.Architecture,
	}
	arch := o.Config.GGUF["general.architecture"]
	m.Metadata = map[string]string{"general.architecture": arch}
	for key, value := range o.Config.GGUF {
		if strings.HasPrefix(key, arch+".") && arch != "" {
			m.Metadata[key] = value
		}
	}
	m.Trained, _ = strconv.Atoi(o.Config.GGUF[arch+".context_length"])
	m.Context = cmp.Or(m.Context, m.Trained)
	return m
}

// ParseModel reads Model Runner's object of a model.
func ParseModel(data []byte) (Model, error) {
	var object modelObject
	if err := json.Unmarshal(data, &object); err != nil {
		return Model{}, fmt.Errorf("it is not Model Runner's object of a model: %w", err)
	}
	return object.model(), nil
}

// Models lists the models in the store.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var objects []modelObject
	if err := c.get(ctx, "listing the models", "/models", &objects); err != nil {
		return nil, err
	}
	models := make([]Model, len(objects))
	for i, o := range objects {
		models[i] = o.model()
	}
	return models, nil
}

// Model describes one model, with the context that the runner is configured to load it with.
func (c *Client) Model(ctx context.Context, ref string) (Model, error) {
	var object modelObject
	if err := c.get(ctx, "looking for "+ref, "/models/"+ref, &object); err != nil {
		return Model{}, err
	}
	m := object.model()
	var configured []struct {
		Config struct {
			Context int      `json:"context-size"`
			Flags   []string `json:"runtime-flags"`
		}
	}
	if err := c.get(ctx, "reading the configuration of "+ref, "/engines/_configure?model="+url.QueryEscape(ref), &configured); err == nil {
		for _, entry := range configured {
			if entry.Config.Context > 0 {
				m.Context = entry.Config.Context
			}
			if n := numberFlag(entry.Config.Flags, "-c", "--ctx-size"); n > 0 {
				m.Context = n
			}
			m.Slots = numberFlag(entry.Config.Flags, "-np", "--parallel")
			m.Cache = textFlag(entry.Config.Flags, "-ctk", "--cache-type-k")
		}
	}
	return m, nil
}

// numberFlag finds one of llama-server's own flags among runtime flags, which win over everything else; 0 without it.
func numberFlag(flags []string, short, long string) int {
	n, _ := strconv.Atoi(textFlag(flags, short, long))
	return n
}

// textFlag is the same for any value; empty without it.
func textFlag(flags []string, short, long string) string {
	for i, flag := range flags {
		name, value, joined := strings.Cut(flag, "=")
		if name != short && name != long {
			continue
		}
		if !joined && i+1 < len(flags) {
			value = flags[i+1]
		}
		return value
	}
	return ""
}

// Running lists what the runner believes to be loaded.
func (c *Client) Running(ctx context.Context) ([]Loaded, error) {
	var loaded []Loaded
	err := c.get(ctx, "listing the loaded models", "/engines/ps", &loaded)
	return loaded, err
}

// Preload loads a model and returns when it is in memory, which may take minutes.
// Ending the context ends the load.
func (c *Client) Preload(ctx context.Context, ref string) error {
	body, _ := json.Marshal(map[string]any{"model": ref, "messages": []any{}})
	req, err := c.request(ctx, http.MethodPost, "/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Preload-Only", "true")
	_, err = c.do(req, "loading "+ref)
	return err
}

func (c *Client) get(ctx context.Context, doing, path string, into any) error {
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	data, err := c.do(req, doing)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return &Error{Endpoint: c.endpoint, Doing: doing, Status: http.StatusOK, Err: err,
			Why: "the answer is not Model Runner's", Remedy: "see what listens there; another program may hold the port"}
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint.URL+path, body)
	if err != nil {
		return nil, &Error{Endpoint: c.endpoint, Doing: "reaching Model Runner", Err: err,
			Why: "the address is not a URL", Remedy: "correct it"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// do sends a request and returns the body of a success. The error is an *Error.
func (c *Client) do(req *http.Request, doing string) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(doing, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(doing, err)
	case len(data) > maxAnswer:
		return nil, &Error{Endpoint: c.endpoint, Doing: doing, Status: resp.StatusCode,
			Why: "the answer never ends", Remedy: "see what listens there; it is not Model Runner"}
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, c.refused(doing, resp.StatusCode, data)
	}
	return data, nil
}

func (c *Client) unreachable(doing string, err error) *Error {
	e := &Error{Endpoint: c.endpoint, Doing: doing, Err: err, Why: "nothing answers", Remedy: cmp.Or(c.endpoint.Start, "start Model Runner: switchyard runner start")}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		e.Why, e.Remedy = "it was cancelled", "try again"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Why = "no answer in time"
	}
	return e
}

func (c *Client) refused(doing string, status int, body []byte) *Error {
	e := &Error{Endpoint: c.endpoint, Doing: doing, Status: status, Why: explain(body), Remedy: "see the runner's log (switchyard runner logs)"}
	if e.Why == "" {
		e.Why = "HTTP " + strconv.Itoa(status)
	}
	switch lower := strings.ToLower(e.Why); {
	case status == http.StatusNotFound && strings.Contains(lower, "model"):
		e.Remedy = "pull it (switchyard pull), or choose one that is there"
	case strings.Contains(lower, "not enough gpu memory"), strings.Contains(lower, "not enough memory"), strings.Contains(lower, "out of memory"):
		e.Why = noMemory
		e.Remedy = "choose a smaller model or context, or unload another model (switchyard unload)"
	case status == http.StatusNotFound:
		e.Remedy = "see what listens there; it may not be Model Runner, or one older than 1.0.11"
	}
	return e
}

// explain takes the message out of an error's body: Anthropic's, llama.cpp's or plain text, in one line.
func explain(body []byte) string {
	var shaped struct {
		Error   json.RawMessage
		Message string
	}
	text := string(body)
	if json.Unmarshal(body, &shaped) == nil {
		var inner struct{ Message string }
		switch {
		case json.Unmarshal(shaped.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case shaped.Message != "":
			text = shaped.Message
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + "…"
	}
	return text
}

// ParseSize reads a size as Model Runner displays it, "8.43GiB" or "256 MB", in bytes; 0 when it cannot.
func ParseSize(text string) int64 {
	text = strings.TrimSpace(text)
	end := strings.LastIndexAny(text, "0123456789.") + 1
	value, err := strconv.ParseFloat(text[:end], 64)
	if err != nil || value < 0 {
		return 0
	}
	unit, ok := units[strings.ToLower(strings.TrimSpace(text[end:]))]
	if !ok || value*unit >= 1<<62 {
		return 0
	}
	return int64(value * unit)
}

var units = map[string]float64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}
