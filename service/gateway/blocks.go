package gateway

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// blockStart begins a content block, and ends one that was forgotten.
func (m *message) blockStart(data []document.Member) {
	content, err := document.Members(document.Find(data, "content_block"))
	if err != nil {
		return // its deltas begin it
	}
	whole := completeBlock(content, m.unusedID)
	kind := document.Field(whole, "type")
	m.begin()
	m.closeBlock()
	in, known := number(document.Find(data, "index"))
	if !known {
		in = m.blocks
	}
	m.opened(kind, in)
	m.spoke = m.spoke || speaks(kind, document.Field(whole, "text"))
	if toolKind(kind) {
		m.called = m.called || kind == "tool_use"
		if input := document.Find(whole, "input"); len(input) > len("{}") {
			m.open.input = slices.Clone(input)
			whole = with(whole, "input", []byte("{}"))
		}
	}
	m.indexed("content_block_start", "content_block", whole)
}

// indexed writes an event of the open block.
func (m *message) indexed(name, member string, value []document.Member) {
	inside := document.Object(value, "")
	m.emit(name, fmt.Appendf(nil, `{"type":"%s","index":%d,"%s":%s}`, name, m.blocks-1, member, inside.Bytes()))
}

// opened notes that a block begins.
func (m *message) opened(kind string, in int) {
	m.open = openBlock{kind: kind, in: in}
	for _, d := range deltas {
		if d.block != kind || in != m.blocks {
			continue
		}
		m.open.usual = fmt.Appendf(nil, `{"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":"`, m.blocks, d.kind, d.member)
	}
	m.blocks++
}

// closeBlock ends the open block, if there is one.
func (m *message) closeBlock() {
	if m.open.kind == "" {
		return
	}
	index := m.blocks - 1
	if len(m.open.input) > 0 && !m.open.filled {
		m.emit("content_block_delta", fmt.Appendf(nil, `{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":%s}}`,
			index, document.Quote(string(m.open.input))))
	}
	m.emit("content_block_stop", fmt.Appendf(nil, `{"type":"content_block_stop","index":%d}`, index))
	m.open = openBlock{}
}

// deltas are what continues a block of each kind.
var deltas = [...]struct{ block, kind, member string }{
	{"text", "text_delta", "text"}, {"thinking", "thinking_delta", "thinking"}, {"tool_use", "input_json_delta", "partial_json"},
}

// toolKind reports whether a block of a kind has an input.
func toolKind(kind string) bool {
	return kind == "tool_use" || kind == "server_tool_use" || kind == "mcp_tool_use"
}

// delta continues a block. What does not belong to the open one begins a block of its own
// if it is a text or a thought, and is lost otherwise.
func (m *message) delta(data []document.Member) {
	inner, err := document.Members(document.Find(data, "delta"))
	if err != nil {
		return
	}
	kind, member := deltaOf(inner)
	value := document.Find(inner, member)
	if kind == "input_json_delta" && value.Kind() == '{' {
		value = document.Quote(string(value))
	}
	if member != "" && value.Kind() != '"' {
		return
	}
	m.begin()
	in, known := number(document.Find(data, "index"))
	if !m.continues(kind) || known && in != m.open.in {
		block := map[string]string{"text_delta": "text", "thinking_delta": "thinking"}[kind]
		if block == "" {
			return
		}
		if !known {
			in = m.blocks
		}
		m.closeBlock()
		m.opened(block, in)
		m.emit("content_block_start", fmt.Appendf(nil, `{"type":"content_block_start","index":%d,"content_block":{"type":"%s","%[2]s":""}}`, m.blocks-1, block))
	}
	m.heard(len(value) > len(`""`))
	inner = with(inner, "type", document.Quote(kind))
	if member != "" {
		inner = with(inner, member, value)
	}
	m.indexed("content_block_delta", "delta", inner)
}

// deltaOf is a delta's kind, and the member that holds its text; empty for one that holds
// something else.
func deltaOf(inner []document.Member) (kind, member string) {
	kind = document.Field(inner, "type")
	for _, d := range deltas {
		if kind == d.kind || kind == "" && document.Find(inner, d.member) != nil {
			return d.kind, d.member
		}
	}
	if kind == "signature_delta" {
		return kind, "signature"
	}
	return kind, ""
}

// continues reports whether the open block may have a delta of a kind.
func (m *message) continues(kind string) bool {
	open := m.open.kind
	switch kind {
	case "":
		return false
	case "text_delta", "citations_delta":
		return open == "text"
	case "thinking_delta", "signature_delta":
		return open == "thinking"
	case "input_json_delta":
		return toolKind(open)
	}
	return open != "" && open != "text" && open != "thinking" && !toolKind(open)
}

// unusedID is an identifier for a tool call, the one it has if no other has it.
func (m *message) unusedID(id string) string {
	if id == "" || slices.Contains(m.ids, id) {
		id = m.newID("toolu_")
	}
	m.ids = append(m.ids, id)
	return id
}

// completeBlock is a content block with all that its kind must have. id is asked for the
// identifier of a tool call, which may have none.
func completeBlock(block []document.Member, id func(string) string) []document.Member {
	kind := document.Field(block, "type")
	if kind == "" {
		kind = "text"
		block = with(block, "type", []byte(`"text"`))
	}
	text := func(name string) {
		if document.Find(block, name).Kind() != '"' {
			block = with(block, name, []byte(`""`))
		}
	}
	switch {
	case kind == "text" || kind == "thinking":
		text(kind)
	case toolKind(kind):
		text("name")
		block = with(block, "id", document.Quote(id(document.Field(block, "id"))))
		if input := document.Find(block, "input"); input.Kind() != '{' {
			block = with(block, "input", inputOf(input))
		}
	}
	return block
}

// inputOf is a tool's input that is no object: one in a string, or none.
func inputOf(input jsontext.Value) []byte {
	if inside := []byte(document.Text(input)); len(inside) > 0 {
		if _, err := document.Members(inside); err == nil {
			return inside
		}
	}
	return []byte("{}")
}

// with is an object with another value of one member, which it may lack.
func with(object []document.Member, name string, value []byte) []document.Member {
	object = slices.Clone(object)
	for i := range slices.Backward(object) {
		if object[i].Name == name {
			object[i].Value = value
			return object
		}
	}
	return append(object, document.Member{Name: name, Value: value})
}

// numbers is an object in which members are numbers, 0 when they were none.
func numbers(object []document.Member, names ...string) []document.Member {
	for _, name := range names {
		if _, ok := number(document.Find(object, name)); !ok {
			object = with(object, name, []byte("0"))
		}
	}
	return object
}

// number is a value that is a whole number.
func number(v jsontext.Value) (n int, ok bool) {
	return n, v.Kind() == '0' && json.Unmarshal(v, &n) == nil
}
