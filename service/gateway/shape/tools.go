package shape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

const (
	// SchemaLoosened says that a tool's schema lost what it narrows: an engine refused one.
	SchemaLoosened Note = "schema_loosened"
	// ServerTool says that a tool was left out, because it runs on Anthropic's servers.
	ServerTool Note = "server_tool"
)

// offer are the tools that a model is offered.
type offer struct {
	tools []offered
	gone  []string // the names of those that Anthropic's servers run
}

// offered is one tool as the engine gets it.
type offered struct {
	name string
	document.Rope
}

// tool is a tool as a request offers it.
type tool struct {
	part
	schema *schema // nil where an object is missing
}

// tool reads a tool of a request.
func (r *reader) tool() (t tool, err error) {
	if r.Kind() != '{' {
		t.part, err = readPart(r.Scanner)
		return t, err
	}
	t.whole, err = r.Object(func(name string) error {
		if name == "input_schema" && r.Kind() == '{' {
			read, err := r.schema()
			t.schema = &read
			t.members = append(t.members, document.Member{Name: name, Value: read.whole})
			return err
		}
		value, err := r.Value()
		if name == "input_schema" {
			t.schema = nil
		}
		t.members = append(t.members, document.Member{Name: name, Value: value})
		return err
	})
	return t, err
}

// offers writes the tools of a request. The schema of each is one that engines take; those
// that Anthropic's servers run are left out, because a model here would call them and wait
// for ever. Of two with the same name the first stays.
func (r *Request) offers(needs Needs, said notes) (offer, error) {
	var all offer
	for i, t := range r.tools {
		if t.whole.Kind() != '{' {
			return all, fmt.Errorf("number %d is no object", i)
		}
		name := document.Field(t.members, "name")
		schema := document.Find(t.members, "input_schema")
		if kind := document.Field(t.members, "type"); kind != "" && kind != "custom" && schema == nil {
			known := client(kind, t.members)
			if known == nil {
				said.add(ServerTool)
				all.gone = append(all.gone, name)
				continue
			}
			t = tool{part: part{members: known}}
		}
		if name == "" || slices.ContainsFunc(all.tools, func(o offered) bool { return o.name == name }) {
			continue
		}
		written, err := t.offered(needs.LooseSchemas, said)
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		all.tools = append(all.tools, offered{name, written})
	}
	return all, nil
}

// offered writes one tool.
func (t tool) offered(loose bool, said notes) (document.Rope, error) {
	read := t.schema
	if value := document.Find(t.members, "input_schema"); value.Kind() == '{' && (read == nil || read.taken) {
		r := reader{Scanner: document.Scan(value)}
		again, err := r.schema()
		if err != nil {
			return document.Rope{}, err
		}
		read = &again
	}
	if read == nil {
		read = &schema{object: true}
	}
	read.taken = true
	m := mender{loose: loose}
	m.mend(read)
	if m.dropped {
		said.add(SchemaLoosened)
	}
	described := document.Find(t.members, "description")
	odd := described != nil && described.Kind() != '"'
	if t.whole != nil && read.whole != nil && !odd && document.Find(t.members, "cache_control") == nil {
		var same document.Rope
		same.Raw(t.whole)
		return same, nil
	}
	var members []document.Member
	for _, m := range t.members {
		if m.Name != "cache_control" && m.Name != "input_schema" && (m.Name != "description" || !odd) {
			members = append(members, m)
		}
	}
	written := read.rope()
	return document.Object(append(members, document.Member{Name: "input_schema", Value: written.Bytes()}), ""), nil
}

// chosen are the tools that a request's tool_choice leaves, and what of the choice an
// engine still has to be told. The engines' route for Anthropic's requests knows "auto" and
// "any": none is no tools, and one tool is the only one.
func (o offer) chosen(choice jsontext.Value) (offer, jsontext.Value, error) {
	if choice.Kind() != '{' {
		return o, choice, nil
	}
	members, err := document.Members(choice)
	if err != nil {
		return o, nil, err
	}
	switch name := document.Field(members, "name"); document.Field(members, "type") {
	case "none":
		return offer{gone: o.gone}, nil, nil
	case "tool":
		at := slices.IndexFunc(o.tools, func(t offered) bool { return t.name == name })
		switch {
		case at >= 0:
			return offer{o.tools[at : at+1], o.gone}, jsontext.Value(`{"type":"any"}`), nil
		case slices.Contains(o.gone, name):
			return offer{gone: o.gone}, nil, nil
		}
		return o, nil, fmt.Errorf("it names %q, which is none of the request's tools", name)
	}
	if len(o.tools) == 0 {
		return o, nil, nil
	}
	return o, choice, nil
}

// absent is what the model is told of the tools that are left out; empty when none is.
func (o offer) absent() string {
	names := slices.DeleteFunc(slices.Clone(o.gone), func(name string) bool {
		return name == "" || strings.HasPrefix(name, "tool_search_tool") // all tools are offered anyway
	})
	switch len(names) {
	case 0:
		return ""
	case 1:
		return "The tool " + names[0] + " runs on Anthropic's servers and cannot be used here. Where it would be needed, say so: do not make up what it would return."
	}
	return "The tools " + strings.Join(names, ", ") + " run on Anthropic's servers and cannot be used here. Where they would be needed, say so: do not make up what they would return."
}

// list writes the tools; of none nothing.
func (o offer) list() document.Rope {
	if len(o.tools) == 0 {
		return document.Rope{}
	}
	var all []document.Rope
	for _, t := range o.tools {
		all = append(all, t.Rope)
	}
	return document.Array(all)
}
