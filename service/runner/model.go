package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/words"
)

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
	Template     string            // its chat template, as its file has it; empty: unknown, or one of many (Models)
	NoTools      bool              // its chat template never speaks of tools, so it calls none
	Metadata     map[string]string // what its need of memory is computed from: keys of the file's architecture
}

// Tag is the model's first full name, or its id when it has none.
func (m Model) Tag() string {
	if len(m.Tags) == 0 {
		return m.ID
	}
	return m.Tags[0]
}

// About is what Claude Code's /model shows beside the model's name; context is in tokens, 0
// when unknown.
func (m Model) About(context int) string {
	about := []string{"local"}
	if m.Parameters != "" {
		about = append(about, m.Parameters+" parameters")
	}
	if m.Size > 0 {
		about = append(about, words.Size(m.Size))
	}
	if context > 0 {
		about = append(about, words.Tokens(context)+" tokens of context")
	}
	return strings.Join(about, " · ")
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
		ID: o.ID, Tags: o.Tags, Size: parseSize(o.Config.Size), Context: o.Config.ContextSize,
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
	m.Template = o.Config.GGUF["tokenizer.chat_template"] + o.Config.GGUF["tokenizer.chat_template.tool_use"] // llama.cpp takes the second one for requests with tools
	m.NoTools = m.Template != "" && !strings.Contains(m.Template, "tool")
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

// Models lists the models in the store. Only a runner that works can:
// /engines/status says "Running" without an engine.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var objects []modelObject
	if err := c.get(ctx, "listing the models", "/models", &objects); err != nil {
		return nil, err
	}
	models := make([]Model, len(objects))
	for i, o := range objects {
		models[i] = o.model()
		models[i].Template = "" // a thousand of them would fill the memory
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
			if overrulesTemplate(entry.Config.Flags) {
				m.Template, m.NoTools = "", false
			}
			m.Slots = numberFlag(entry.Config.Flags, "-np", "--parallel")
			m.Cache = textFlag(entry.Config.Flags, "-ctk", "--cache-type-k")
		}
	}
	return m, nil
}

// overrulesTemplate reports whether runtime flags give the model another chat template.
func overrulesTemplate(flags []string) bool {
	return textFlag(flags, "--chat-template", "--chat-template-file") != ""
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

// parseSize reads a size as Model Runner displays it, "8.43GiB" or "256 MB", in bytes; 0 when it cannot.
func parseSize(text string) int64 {
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
