package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// request is a Messages request as far as the gateway has to understand it. It
// is read in one pass; the rest stays bytes of the body.
type request struct {
	members   []member // without the value of messages
	messages  []message
	model     string
	stream    bool
	tools     bool   // it offers tools: a session's turn, no title job
	sessionID string // from the body; a header may say it too
}

// message is one message of a conversation.
type message struct {
	whole   jsontext.Value
	members []member // content without its value when it is a list
	role    string
	listed  bool // content is a list
	blocks  []part
}

// part is one element of a message's content.
type part struct {
	whole   jsontext.Value
	members []member // nil for what is no object
}

// parse reads a request's body.
func parse(body []byte) (*request, error) {
	r := &request{}
	s := scan(body)
	list := false
	if _, err := s.object(func(name string) error {
		if name == "messages" && s.kind() == '[' {
			list, r.messages = true, nil // of a name that comes twice the last counts
			r.members = append(r.members, member{name: name})
			return s.array(func() error { return r.readMessage(s) })
		}
		value, err := s.value()
		list = list && name != "messages"
		r.members = append(r.members, member{name, value})
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	r.model, r.stream = field(r.members, "model"), find(r.members, "stream").Kind() == 't'
	switch {
	case r.model == "":
		return nil, errors.New(`it names no "model"`)
	case !list:
		return nil, errors.New(`it has no list "messages"`)
	}
	if offered, err := elements(find(r.members, "tools")); err == nil {
		r.tools = len(offered) > 0
	}
	if metadata, err := members(find(r.members, "metadata")); err == nil {
		var user struct {
			SessionID string `json:"session_id"`
		}
		if json.Unmarshal([]byte(field(metadata, "user_id")), &user) == nil {
			r.sessionID = user.SessionID
		}
	}
	return r, nil
}

func (r *request) readMessage(s *scanner) (err error) {
	var m message
	m.whole, err = s.object(func(name string) error {
		if name == "content" && s.kind() == '[' {
			m.listed, m.blocks = true, nil
			m.members = append(m.members, member{name: name})
			return s.array(func() error { return m.readPart(s) })
		}
		value, err := s.value()
		m.listed = m.listed && name != "content"
		m.members = append(m.members, member{name, value})
		return err
	})
	if err != nil {
		return fmt.Errorf("message %d: %w", len(r.messages), err)
	}
	m.role = field(m.members, "role")
	r.messages = append(r.messages, m)
	return nil
}

func (m *message) readPart(s *scanner) (err error) {
	var p part
	if s.kind() == '{' {
		p.members, p.whole, err = s.members()
	} else {
		p.whole, err = s.value()
	}
	m.blocks = append(m.blocks, p)
	return err
}

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

// hasText tells whether the system prompt says anything: then a system message
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

// block is one piece of a message's content, as it is written.
type block struct {
	rope
	result bool // of a tool
}

// folder writes the messages of a conversation.
type folder struct {
	blind bool
	done  []rope
	open  bool     // a user message is being written: a system message joins it
	alone bool     // it holds only system messages so far: the next user message joins it
	rest  []member // its members besides role and content
	says  []block
}

// foldMessages takes system messages out of the conversation's middle: strict
// chat templates, the Qwen family's for one, refuse them. Their text moves into the
// user message before, as the reminder that Claude Code itself uses there, or
// opens the next one. leads allows one at the very beginning.
//
// llama.cpp puts a user message's text before its tool results, whatever the
// order was; text after a result gets a message of its own.
func foldMessages(messages []message, blind, leads bool) rope {
	f := &folder{blind: blind}
	for i, m := range messages {
		content := find(m.members, "content")
		switch {
		case m.role == "system" && i == 0 && leads:
			f.other(m)
		case m.role == "system":
			f.system(m, content)
		case m.role == "user" && (m.listed || content.Kind() == '"'):
			f.user(m, content)
		default:
			f.flush()
			f.other(m)
		}
	}
	f.flush()
	return array(f.done)
}

// system adds a system message to the open user message, or opens one.
func (f *folder) system(m message, content jsontext.Value) {
	var said []block
	if !m.listed && content.Kind() == '"' {
		said = append(said, reminder(content))
	}
	for _, p := range m.blocks {
		if t := find(p.members, "text"); m.listed && t.Kind() == '"' {
			said = append(said, reminder(t))
		} else if m.listed {
			said = append(said, f.block(p))
		}
	}
	if len(said) == 0 {
		return
	}
	if !f.open {
		f.open, f.alone = true, true
	}
	f.says = append(f.says, said...)
}

// reminder wraps a JSON string without decoding it.
func reminder(quoted jsontext.Value) block {
	var b block
	b.text(`{"type":"text","text":"<system-reminder>\n`)
	b.raw(quoted[1 : len(quoted)-1])
	b.text(`\n</system-reminder>"}`)
	return b
}

// user opens a user message. A string becomes a list of one text: Claude Code
// writes the same message now this way, now that.
func (f *folder) user(m message, content jsontext.Value) {
	if !f.alone {
		f.flush()
	}
	f.open, f.alone = true, false
	f.rest = slices.DeleteFunc(slices.Clone(m.members), func(m member) bool {
		return m.name == "role" || m.name == "content" || m.name == "cache_control"
	})
	if !m.listed {
		var b block
		b.text(`{"type":"text","text":`)
		b.raw(content)
		b.text("}")
		f.says = append(f.says, b)
		return
	}
	for _, p := range m.blocks {
		f.says = append(f.says, f.block(p))
	}
}

// block writes a content block again, without the marks of Anthropic's cache
// and, for a blind model, without images.
func (f *folder) block(p part) block {
	switch kind := find(p.members, "type"); string(kind) {
	case `"image"`:
		if f.blind {
			return note("[an image was here; this model sees none]")
		}
	case `"document"`:
		if unreadable(p.members) {
			return note("[a document was here; local models read text only]")
		}
	case `"tool_result"`:
		return block{rope: unmarked(f.withoutImages(p)), result: true}
	}
	return block{rope: unmarked(p)}
}

// unmarked writes a block without its cache mark.
func unmarked(p part) rope {
	if find(p.members, "cache_control") != nil {
		return object(p.members, "cache_control")
	}
	var same rope
	same.raw(p.whole)
	return same
}

func note(said string) block {
	var b block
	b.text(`{"type":"text","text":`)
	b.raw(quote(said))
	b.text("}")
	return b
}

// unreadable tells whether a document holds something else than text.
func unreadable(m []member) bool {
	source, err := members(find(m, "source"))
	return err == nil && field(source, "type") != "text" && field(source, "type") != "content"
}

// withoutImages takes images out of a tool's result for a blind model.
func (f *folder) withoutImages(result part) part {
	content := find(result.members, "content")
	if !f.blind || content.Kind() != '[' || !bytes.Contains(content, []byte(`image`)) {
		return result
	}
	blocks, err := elements(content)
	if err != nil {
		return result
	}
	var kept []rope
	for _, v := range blocks {
		m, err := members(v)
		if err != nil {
			return result
		}
		kept = append(kept, f.block(part{v, m}).rope)
	}
	list := array(kept)
	return rewritten(result, "content", list)
}

// rewritten is a block with another value of one member.
func rewritten(p part, name string, value rope) part {
	all := slices.Clone(p.members)
	for i := range all {
		if all[i].name == name {
			all[i].value = value.bytes()
		}
	}
	whole := object(all, "")
	return part{whole.bytes(), all}
}

// other writes a message that is no user's: only cache marks go.
func (f *folder) other(m message) {
	var out rope
	if !slices.ContainsFunc(m.blocks, func(p part) bool { return find(p.members, "cache_control") != nil }) {
		out.raw(m.whole)
		f.done = append(f.done, out)
		return
	}
	var kept []rope
	for _, p := range m.blocks {
		kept = append(kept, unmarked(p))
	}
	list := array(kept)
	out.raw(rewritten(part{m.whole, m.members}, "content", list).whole)
	f.done = append(f.done, out)
}

// flush ends the open user message: a new one begins wherever something else
// follows a tool's result.
func (f *folder) flush() {
	if !f.open {
		return
	}
	start := 0
	for i := 1; i < len(f.says); i++ {
		if f.says[i-1].result && !f.says[i].result {
			f.message(f.says[start:i])
			start = i
		}
	}
	f.message(f.says[start:])
	f.open, f.alone, f.rest, f.says = false, false, nil, nil
}

func (f *folder) message(blocks []block) {
	var content []rope
	for _, b := range blocks {
		content = append(content, b.rope)
	}
	var out rope
	out.text(`{"role":"user","content":`)
	out.join(array(content))
	for _, m := range f.rest {
		out.text(",")
		out.raw(quote(m.name))
		out.text(":")
		out.raw(m.value)
	}
	out.text("}")
	f.done = append(f.done, out)
}
