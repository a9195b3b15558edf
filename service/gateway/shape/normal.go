package shape

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// cloudOnly are the fields that mean something to Anthropic's servers alone.
// What is not listed goes through: CLAUDE_CODE_EXTRA_BODY may carry a field for
// the engine.
var cloudOnly = []string{"betas", "container", "context_management", "inference_geo", "mcp_servers", "metadata", "safeguards", "service_tier", "speed"}

const billingLine = "x-anthropic-billing-header"

// For writes the request as a llama.cpp with any chat template takes it.
// Every piece depends only on what stands before it and on the rest of the user's turn that
// it is in. So a longer conversation begins with the very bytes of the shorter one, and the
// engine's prefix cache holds.
func (r *Request) For(m Model) (Shaped, error) {
	said := notes{}
	r, err := r.harmless(m.Needs.Markers, said)
	if err != nil {
		return Shaped{}, err
	}
	if r, err = r.meant(m.Needs, said); err != nil {
		return Shaped{}, err
	}
	if m.Needs.NoSystem {
		r = r.withoutSystem()
	}
	out, prefill, err := r.written(m, said)
	return Shaped{Body: out, Prefill: prefill, Notes: slices.Sorted(maps.Keys(said))}, err
}

func (r *Request) written(model Model, said notes) (out document.Rope, prefill string, err error) {
	out.Text("{")
	next := ""
	for _, m := range r.members {
		var value document.Rope
		switch m.Name {
		case "model":
			value.Raw(document.Quote(model.Tag))
		case "system":
			value, err = withoutBilling(m.Value)
		case "tools":
			value = r.offer
		case "messages":
			value, prefill = foldMessages(r.messages, model.Needs, said, !model.Needs.NoSystem && !hasText(document.Find(r.members, "system")))
		default:
			if !slices.Contains(cloudOnly, m.Name) {
				value.Raw(m.Value)
			}
		}
		if err != nil {
			return document.Rope{}, "", fmt.Errorf("%s: %w", m.Name, err)
		}
		if value.Size() == 0 {
			continue
		}
		out.Text(next)
		out.Raw(document.Quote(m.Name))
		out.Text(":")
		out.Join(value)
		next = ","
	}
	out.Text("}")
	return out, prefill, nil
}

// hasText reports whether the system prompt says anything: then a system message
// at the head of the conversation is not the first one.
func hasText(system jsontext.Value) bool {
	value, err := withoutBilling(system)
	return err == nil && value.Size() > 0
}

// withoutBilling drops Claude Code's accounting line, which differs between
// sessions and would part their prefixes, and the marks of Anthropic's cache.
func withoutBilling(system jsontext.Value) (document.Rope, error) {
	var out document.Rope
	switch system.Kind() {
	case '"':
		said := document.Text(system)
		if strings.HasPrefix(said, billingLine) {
			if _, said, _ = strings.Cut(said, "\n"); said == "" {
				return out, nil
			}
			out.Raw(document.Quote(said))
			return out, nil
		}
		if said != "" {
			out.Raw(system)
		}
		return out, nil
	case '[':
		return joined(system)
	}
	return out, nil // null or of no known shape: no system prompt
}

// joined is a system prompt of blocks as one text, on lines of their own: some templates
// (Mistral's) would write a list as it stands.
func joined(system jsontext.Value) (document.Rope, error) {
	var out document.Rope
	blocks, err := document.Elements(system)
	if err != nil {
		return out, err
	}
	for _, b := range blocks {
		block, err := document.Members(b)
		if err != nil {
			return out, err
		}
		said := document.Find(block, "text")
		if said.Kind() != '"' || len(said) == len(`""`) || strings.HasPrefix(document.Text(said), billingLine) {
			continue
		}
		if out.Size() == 0 {
			out.Text(`"`)
		} else {
			out.Text(`\n`)
		}
		out.Raw(said[1 : len(said)-1])
	}
	if out.Size() > 0 {
		out.Text(`"`)
	}
	return out, nil
}
