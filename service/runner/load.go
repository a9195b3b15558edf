package runner

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Answers sends the smallest message there is and returns when the model has
// answered it. It loads the model, which may take minutes.
func (c *Client) Answers(ctx context.Context, tag string) error {
	_, err := c.say(ctx, "asking "+tag, map[string]any{"model": tag, "max_tokens": 1, "messages": []message{{"user", "Hi.\n"}}})
	return err
}

// Unload takes a model out of memory, with an engine that may be dead, and returns
// how many engines ended: none of a model that answers just now.
func (c *Client) Unload(ctx context.Context, tag string) (n int, err error) {
	var answer struct {
		Unloaded int `json:"unloaded_runners"`
	}
	data, err := c.post(ctx, "unloading "+tag, "/engines/unload", map[string]any{"models": []string{tag}})
	if err == nil {
		_ = json.Unmarshal(data, &answer) // it is done all the same
	}
	return answer.Unloaded, err
}

// OutOfMemory reports whether an error says that a model does not fit.
func OutOfMemory(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Why == noMemory
}

// noMemory is the reason of an error that OutOfMemory recognises.
const noMemory = "not enough GPU memory for this model"

// Crashed reports whether an error says that a model's engine died or cannot be
// started, as opposed to one that answers and refuses.
func Crashed(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) || OutOfMemory(err) || errors.Is(err, context.Canceled) {
		return false
	}
	return failed.Status == 0 || failed.reason.Effect().Sick
}

// Anthropic reports whether the runner knows Anthropic's API, which came with 1.0.11.
func (c *Client) Anthropic(ctx context.Context) (bool, error) {
	req, err := c.request(ctx, http.MethodPost, "/anthropic/v1/messages", strings.NewReader("{}"))
	if err != nil {
		return false, err
	}
	_, err = c.do(req, "looking for Anthropic's API")
	var failed *Error
	if errors.As(err, &failed) && failed.Status == http.StatusBadRequest { // it misses the model's name
		return true, nil
	}
	if errors.As(err, &failed) && failed.Status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

// QuantiseCache has a model's cache of the conversation stored as f16, q8_0 or q4_0
// from its next load on. Model Runner replaces a model's whole configuration, so all
// else that stands there is sent again. It forgets it when it restarts.
func (c *Client) QuantiseCache(ctx context.Context, ref, kind string) error {
	var entries []struct{ Config map[string]json.RawMessage }
	if err := c.get(ctx, "reading the configuration of "+ref, "/engines/_configure?model="+url.QueryEscape(ref), &entries); err != nil {
		return err
	}
	body := map[string]any{}
	var flags []string
	if len(entries) > 0 {
		for key, value := range entries[0].Config {
			body[key] = value
		}
		_ = json.Unmarshal(entries[0].Config["runtime-flags"], &flags) // absent is none
	}
	flags = withoutFlag(flags, "-ctk", "--cache-type-k", "-ctv", "--cache-type-v")
	if kind != "f16" {
		flags = append(flags, "--cache-type-k", kind, "--cache-type-v", kind)
	}
	body["model"], body["runtime-flags"] = ref, flags
	_, err := c.post(ctx, "configuring "+ref, "/engines/_configure", body)
	return err
}

// withoutFlag takes flags and their values out.
func withoutFlag(flags []string, names ...string) (rest []string) {
	for i := 0; i < len(flags); i++ {
		name, _, joined := strings.Cut(flags[i], "=")
		if slices.Contains(names, name) {
			if !joined {
				i++
			}
			continue
		}
		rest = append(rest, flags[i])
	}
	return rest
}
