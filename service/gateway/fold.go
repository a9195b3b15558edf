package gateway

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

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

// unreadable reports whether a document holds something else than text.
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
