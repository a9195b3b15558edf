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
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
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

	reason verdict.Reason // why the runner refused; empty when nothing answered
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s at %s: %s; %s", e.Doing, e.Endpoint, e.Why, e.Remedy)
}

func (e *Error) Unwrap() error { return e.Err }

// Unreachable reports whether nothing answered at all.
func (e *Error) Unreachable() bool { return e.Status == 0 }

// Client talks to one runner. It has a method for each thing that Model Runner can be
// asked, which are more than 25.
type Client struct {
	endpoint Endpoint
	http     *http.Client
	messages *Client // where messages are sent; nil: to the runner itself
	token    string  // that messages are sent with
}

// maxAnswer bounds what is read of an answer: something else may listen on the port.
const maxAnswer = 16 << 20

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
		// Whatever listens there must not send us anywhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Through sends the messages of the proofs through a gateway, as Claude Code will:
// url is its address, token what it asks for.
func (c *Client) Through(url, token string) {
	c.messages = NewClient(Endpoint{URL: url, Start: c.endpoint.Start})
	c.messages.token = token
}

// Mended reports whether messages go through a gateway.
func (c *Client) Mended() bool { return c.messages != nil }

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

// Build names the programs that answer: the runner's version, and that of its llama.cpp.
// What one of them refuses, the next one may take. It is empty while llama.cpp is not
// installed. The runner reads the version of llama.cpp when it starts.
func (c *Client) Build(ctx context.Context) (string, error) {
	var engines map[string]string
	if err := c.get(ctx, "asking for the engine", "/engines/status", &engines); err != nil {
		return "", err
	}
	engine, running := strings.CutPrefix(engines["llama.cpp"], "Running: ")
	if !running {
		return "", nil
	}
	version, err := c.Version(ctx)
	return strings.TrimSpace(version + " " + engine), err
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
			Why: "the answer is too large", Remedy: "see what listens there; it is not Model Runner"}
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
	v := verdict.Of(status, body)
	e := &Error{Endpoint: c.endpoint, Doing: doing, Status: status, Why: cmp.Or(v.Said, "HTTP "+strconv.Itoa(status)),
		Remedy: "see the runner's log (switchyard runner logs)", reason: v.Reason}
	switch lower := strings.ToLower(e.Why); {
	case status == http.StatusNotFound && strings.Contains(lower, "model"):
		e.Remedy = "pull it (switchyard pull), or choose one that is installed"
	case v.Reason == verdict.OutOfMemory:
		e.Why = noMemory
		e.Remedy = "choose a smaller model or context, or unload another model (switchyard unload)"
	case status == http.StatusNotFound:
		e.Remedy = "see what listens there; it may not be Model Runner, or one older than 1.0.11"
	}
	return e
}
