package runner

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// Progress is how far a pull is.
type Progress struct {
	Done, Total int64  // bytes; Total is 0 while it is unknown
	Note        string // what the runner has to say about the model; empty: nothing
}

// PullError is a pull that ended without the model.
type PullError struct {
	Ref, Why, Remedy string
	Again            bool // trying again may help, and goes on where it ended
	Missing          bool // its registry has no such model. Model Runner takes any error with a 404 in its text for that, be it of a port number
	Lost             bool // its weights have come, and Model Runner lost it, and maybe what came since the pull began
	Err              error
}

func (e *PullError) Error() string {
	return fmt.Sprintf("pulling %s: %s; %s", e.Ref, e.Why, e.Remedy)
}
func (e *PullError) Unwrap() error { return e.Err }

// lost is the error of a model whose weights have come and that the runner does not
// know. Model Runner (v1.2.6, pkg/distribution/internal/store) reads and writes its
// list of models without a lock: where two pulls end together, the later list lacks
// the other's model; and where one of them notices, it puts back the list from before
// its pull, without what came since.
func lost(ref string) *PullError {
	return &PullError{Ref: ref, Why: "Model Runner lost it while it took in another model", Remedy: "pull it again: its weights are there already", Again: true, Lost: true}
}

// silence is how long a pull may say nothing before its registry counts as dead.
const silence = 90 * time.Second

// Pull gets a model from its registry and returns when it is in the store. each
// is called with every step. Ending the context ends the pull; what was loaded is kept,
// and the next pull goes on from there. The error is a *PullError.
func (c *Client) Pull(ctx context.Context, ref string, each func(Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := errors.New("silent")
	alarm := time.AfterFunc(silence, func() { cancel(silent) })
	defer alarm.Stop()
	body, _ := json.Marshal(map[string]string{"from": ref})
	req, err := c.request(ctx, http.MethodPost, "/models/create", bytes.NewReader(body))
	if err != nil {
		return err
	}
	failed := func(err error) error {
		e := &PullError{Ref: ref, Why: "Model Runner went away in the middle", Remedy: "pull it again: it continues where it stopped", Again: true, Err: err}
		switch {
		case context.Cause(ctx) == silent:
			e.Why, e.Remedy = "its registry does not answer", "check the network, and pull it again"
		case ctx.Err() != nil:
			e.Why, e.Remedy, e.Again = "it was cancelled", "pull it again: it continues where it stopped", false
		}
		return e
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return pullError(ref, resp.StatusCode, string(text))
	}
	err = readPull(ref, resp.Body, func(p Progress) {
		alarm.Reset(silence)
		each(p)
	}, failed)
	if err == nil && c.Lacks(ctx, ref) {
		return lost(ref)
	}
	return err
}

// Lacks reports whether the runner says that it has no such model, which a runner
// that does not answer does not say.
func (c *Client) Lacks(ctx context.Context, ref string) bool {
	var object modelObject
	var failed *Error
	err := c.get(ctx, "looking for "+ref, "/models/"+ref, &object)
	return errors.As(err, &failed) && failed.Status == http.StatusNotFound
}

// pullLine is one line of the stream that answers a pull.
type pullLine struct {
	Type    string
	Message string
	Total   int64
	Layer   struct {
		ID      string
		Size    int64
		Current int64
	}
}

// readPull reads the stream of a pull to its end.
func readPull(ref string, from io.Reader, each func(Progress), failed func(error) error) error {
	layers := map[string]int64{}
	var total int64
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	wrong := ""
	for lines.Scan() {
		var line pullLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			if text := strings.TrimSpace(lines.Text()); text != "" && wrong == "" { // after an error comes plain text
				wrong = text
			}
			continue
		}
		switch line.Type {
		case "progress":
			total = max(total, line.Total)
			if line.Layer.ID != "" {
				layers[line.Layer.ID] = line.Layer.Current
			}
			var done int64
			for _, n := range layers {
				done += n
			}
			each(Progress{Done: min(done, max(total, done)), Total: total})
		case "success":
			return nil
		case "error":
			wrong = line.Message
		case "warning":
			each(Progress{Note: line.Message})
		}
	}
	if wrong != "" {
		return pullError(ref, http.StatusInternalServerError, strings.TrimPrefix(wrong, "Error: "))
	}
	return failed(lines.Err())
}

// Compiled when a pull fails: at the start of every command they would be its largest part here.
const (
	tooMany   = `(?i)toomanyrequests|too many requests|rate limit|\b429\b`
	forbidden = `(?i)\bdenied\b|forbidden|\b403\b`
	noSpace   = `(?i)no space left|not enough space|disk quota`
	network   = `(?i)no such host|connection re(set|fused)|timeout|timed out|\bEOF\b|dial tcp|network is unreachable|temporary failure|TLS handshake|broken pipe|\b50[234]\b|server misbehaving|failed to do request`
)

// pullError puts what the runner says of a pull into words.
func pullError(ref string, status int, said string) *PullError {
	why := verdict.Of(status, []byte(said)).Said // which is shortened; what matters may stand at the end
	says := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(said) }
	e := &PullError{Ref: ref, Why: why, Remedy: "see Model Runner's log: switchyard runner logs"}
	if e.Why == "" {
		e.Why = fmt.Sprintf("Model Runner answered %d", status)
	}
	switch {
	case strings.Contains(said, "adding tags") && strings.Contains(said, "model not found"):
		e = lost(ref)
	case says(noSpace):
		e.Why, e.Remedy = "the disk is full", "free some space (switchyard models prune), then pull it again: it continues where it stopped"
	case status == http.StatusTooManyRequests || says(tooMany):
		e.Why, e.Remedy = "its registry's pull limit is reached", "wait some hours, or log in: docker login"
	case status == http.StatusForbidden || says(forbidden):
		e.Why, e.Remedy = "its registry forbids it", "log in (docker login), and accept the model's licence on its page"
	case status == http.StatusUnauthorized:
		e.Why, e.Remedy = "its registry wants a login, or has no such model", "check the name; for a private or gated one log in: docker login"
	case status == http.StatusNotFound:
		e.Missing = true
		e.Why, e.Remedy = "its registry has no such model", "check the name: docker model search, or https://hub.docker.com/u/ai"
	case status == http.StatusBadRequest:
		e.Why, e.Remedy = "that is not a model's name", "write it as ai/qwen3-coder, hf.co/ORG/MODEL or registry:port/name:tag"
	case status == http.StatusUnprocessableEntity:
		e.Why, e.Remedy = "that is not a model that Model Runner can load ("+why+")", "choose another one"
	case says(network):
		e.Why, e.Remedy, e.Again = "its registry cannot be reached", "check the network, and pull it again: it continues where it stopped", true
	}
	return e
}

// Remote describes a model in its registry, before it is pulled.
func (c *Client) Remote(ctx context.Context, ref string) (Model, error) {
	var object modelObject
	if err := c.get(ctx, "looking for "+ref+" in its registry", "/models/"+ref+"?remote=true", &object); err != nil {
		return Model{}, err
	}
	return object.model(), nil
}

// DiskUsage is how many bytes the models take; it grows during a pull.
func (c *Client) DiskUsage(ctx context.Context) (int64, error) {
	var usage struct {
		Models int64 `json:"models_disk_usage"`
	}
	err := c.get(ctx, "asking for the disk's use", "/engines/df", &usage)
	return usage.Models, err
}

// Repackage makes another tag of a model that is loaded with another context, in
// tokens. The weights are shared. It needs Model Runner 1.0.15.
func (c *Client) Repackage(ctx context.Context, ref, target string, tokens int) error {
	_, err := c.post(ctx, "repackaging "+ref, "/models/"+ref+"/repackage", map[string]any{"target": target, "context_size": tokens})
	return err
}

// Remove takes a tag away, and the model with its last one.
func (c *Client) Remove(ctx context.Context, ref string) error {
	req, err := c.request(ctx, http.MethodDelete, "/models/"+ref, nil)
	if err != nil {
		return err
	}
	_, err = c.do(req, "removing "+ref)
	return err
}

// Logs writes what the runner itself logs from now on, without its engines, until
// the context or the runner ends. Model Runner knows its log since 1.1.36.
func (c *Client) Logs(ctx context.Context, to io.Writer) error {
	req, err := c.request(ctx, http.MethodGet, "/logs?follow=true&no-engines=true", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable("following the log", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refused("following the log", resp.StatusCode, nil)
	}
	_, err = io.Copy(to, resp.Body)
	return err
}

func (c *Client) post(ctx context.Context, doing, path string, body any) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := c.request(ctx, http.MethodPost, path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return c.do(req, doing)
}
