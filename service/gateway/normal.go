package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// cloudOnly are the fields that mean something to Anthropic's servers alone.
// What is not listed goes through: CLAUDE_CODE_EXTRA_BODY may carry a field for
// the engine.
var cloudOnly = []string{"betas", "container", "context_management", "inference_geo", "mcp_servers", "metadata", "safeguards", "service_tier", "speed"}

const billingLine = "x-anthropic-billing-header"

// normalise writes the request as a llama.cpp with any chat template takes it.
// Every piece depends only on what stands before it and, where a system message
// opens a user turn, on the turn's own rest. So a longer conversation begins with
// the very bytes of the shorter one, and the engine's prefix cache holds.
//
// blind says that the model sees no images: a note takes their place.
func (r *request) normalise(model string, blind bool) (rope, error) {
	var out rope
	out.text("{")
	next := ""
	for _, m := range r.members {
		var value rope
		var err error
		switch m.name {
		case "model":
			value.raw(quote(model))
		case "system":
			value, err = withoutBilling(m.value)
		case "tools":
			value, err = withoutServerTools(m.value)
		case "messages":
			value = foldMessages(r.messages, blind, !hasText(find(r.members, "system")))
		default:
			if !slices.Contains(cloudOnly, m.name) {
				value.raw(m.value)
			}
		}
		if err != nil {
			return rope{}, fmt.Errorf("%s: %w", m.name, err)
		}
		if value.size == 0 {
			continue
		}
		out.text(next)
		out.raw(quote(m.name))
		out.text(":")
		out.join(value)
		next = ","
	}
	out.text("}")
	return out, nil
}

func quote(s string) []byte {
	out, _ := jsontext.AppendQuote(nil, s)
	return out
}

// hasText reports whether the system prompt says anything: then a system message
// at the head of the conversation is not the first one.
func hasText(system jsontext.Value) bool {
	value, err := withoutBilling(system)
	return err == nil && value.size > 0
}

// withoutBilling drops Claude Code's accounting line, which differs between
// sessions and would part their prefixes, and the marks of Anthropic's cache.
func withoutBilling(system jsontext.Value) (rope, error) {
	var out rope
	switch system.Kind() {
	case '"':
		said := text(system)
		if strings.HasPrefix(said, billingLine) {
			if _, said, _ = strings.Cut(said, "\n"); said == "" {
				return out, nil
			}
			out.raw(quote(said))
			return out, nil
		}
		if said != "" {
			out.raw(system)
		}
		return out, nil
	case '[':
		blocks, err := elements(system)
		if err != nil {
			return out, err
		}
		var kept []rope
		for _, b := range blocks {
			block, err := members(b)
			if err != nil {
				return out, err
			}
			if !strings.HasPrefix(field(block, "text"), billingLine) {
				kept = append(kept, object(block, "cache_control"))
			}
		}
		if len(kept) > 0 {
			out = array(kept)
		}
		return out, nil
	}
	return out, nil // null or of no known shape: no system prompt
}

// withoutServerTools drops the tools that Anthropic's servers run: a model here
// would call them and wait for ever.
func withoutServerTools(tools jsontext.Value) (rope, error) {
	var out rope
	if tools.Kind() != '[' {
		return out, nil
	}
	offered, err := elements(tools)
	if err != nil {
		return out, err
	}
	var kept []rope
	for _, t := range offered {
		tool, err := members(t)
		if err != nil {
			return out, err
		}
		if kind := field(tool, "type"); kind != "" && kind != "custom" && find(tool, "input_schema") == nil {
			continue
		}
		kept = append(kept, object(tool, "cache_control"))
	}
	if len(kept) > 0 {
		out = array(kept)
	}
	return out, nil
}

// object writes an object again without one of its members.
func object(all []member, without string) rope {
	var out rope
	next := "{"
	for _, m := range all {
		if m.name == without {
			continue
		}
		out.text(next)
		out.raw(quote(m.name))
		out.text(":")
		out.raw(m.value)
		next = ","
	}
	if next == "{" {
		out.text(next)
	}
	out.text("}")
	return out
}

func array(items []rope) rope {
	var out rope
	out.text("[")
	for i, item := range items {
		if i > 0 {
			out.text(",")
		}
		out.join(item)
	}
	out.text("]")
	return out
}
