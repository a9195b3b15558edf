package shape

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// block is one piece of a message's content, as it is written.
type block struct {
	document.Rope
	result bool // of a tool
}

// conversation writes the messages of a request, with those of the system folded in.
type conversation struct {
	needs Needs
	said  notes
	done  []document.Rope
	open  bool              // a user message is being written: a system message joins it
	alone bool              // it holds only system messages so far: the next user message joins it
	rest  []document.Member // its members besides role and content
	says  []block
}

// foldMessages takes system messages out of the conversation's middle: strict
// chat templates, the Qwen family's for one, refuse them. Their text moves into the
// user message before, as the reminder that Claude Code itself uses there, or
// opens the next one. leads allows one at the very beginning.
//
// llama.cpp puts a user message's text before its tool results, whatever the
// order was; text after a result gets a message of its own.
func foldMessages(messages []message, needs Needs, said notes, leads bool) document.Rope {
	c := &conversation{needs: needs, said: said}
	for i, m := range messages {
		content := document.Find(m.members, "content")
		switch {
		case m.role == "system" && i == 0 && leads:
			c.other(m)
		case m.role == "system":
			c.system(m, content)
		case m.role == "user" && (m.listed || content.Kind() == '"'):
			c.user(m, content)
		default:
			c.flush()
			c.other(m)
		}
	}
	c.flush()
	return document.Array(c.done)
}

// system adds a system message to the open user message, or opens one.
func (c *conversation) system(m message, content jsontext.Value) {
	var said []block
	if !m.listed && content.Kind() == '"' {
		said = append(said, reminder(content))
	}
	for _, p := range m.blocks {
		if t := document.Find(p.members, "text"); m.listed && t.Kind() == '"' {
			said = append(said, reminder(t))
		} else if m.listed {
			said = append(said, c.block(p))
		}
	}
	if len(said) == 0 {
		return
	}
	if !c.open {
		c.open, c.alone = true, true
	}
	c.says = append(c.says, said...)
}

// reminder wraps a JSON string without decoding it.
func reminder(quoted jsontext.Value) block {
	var b block
	b.Text(`{"type":"text","text":"<system-reminder>\n`)
	b.Raw(quoted[1 : len(quoted)-1])
	b.Text(`\n</system-reminder>"}`)
	return b
}

// user opens a user message. A string becomes a list of one text: Claude Code
// writes the same message now this way, now that.
func (c *conversation) user(m message, content jsontext.Value) {
	if !c.alone {
		c.flush()
	}
	c.open, c.alone = true, false
	c.rest = slices.DeleteFunc(slices.Clone(m.members), func(m document.Member) bool {
		return m.Name == "role" || m.Name == "content" || m.Name == "cache_control"
	})
	if !m.listed {
		var b block
		b.Text(`{"type":"text","text":`)
		b.Raw(content)
		b.Text("}")
		c.says = append(c.says, b)
		return
	}
	for _, p := range m.blocks {
		c.says = append(c.says, c.block(p))
	}
}

// block writes a content block again, without the marks of Anthropic's cache
// and, for a blind model, without images.
func (c *conversation) block(p part) block {
	switch kind := document.Find(p.members, "type"); string(kind) {
	case `"image"`:
		if c.needs.Blind {
			c.said.add(ImageUnseen)
			return note("[an image was here; this model sees none]")
		}
	case `"document"`:
		if unreadable(p.members) {
			return note("[a document was here; local models read text only]")
		}
	case `"tool_result"`:
		return block{Rope: unmarked(c.withoutImages(p)), result: true}
	}
	return block{Rope: unmarked(p)}
}

// unmarked writes a block without its cache mark.
func unmarked(p part) document.Rope {
	if document.Find(p.members, "cache_control") != nil {
		return document.Object(p.members, "cache_control")
	}
	var same document.Rope
	same.Raw(p.whole)
	return same
}

func note(said string) block {
	var b block
	b.Text(`{"type":"text","text":`)
	b.Raw(document.Quote(said))
	b.Text("}")
	return b
}

// unreadable reports whether a document holds something else than text.
func unreadable(m []document.Member) bool {
	source, err := document.Members(document.Find(m, "source"))
	return err == nil && document.Field(source, "type") != "text" && document.Field(source, "type") != "content"
}

// withoutImages takes images out of a tool's result for a blind model.
func (c *conversation) withoutImages(result part) part {
	content := document.Find(result.members, "content")
	if !c.needs.Blind || content.Kind() != '[' || !bytes.Contains(content, []byte(`image`)) {
		return result
	}
	blocks, err := document.Elements(content)
	if err != nil {
		return result
	}
	var kept []document.Rope
	for _, v := range blocks {
		m, err := document.Members(v)
		if err != nil {
			return result
		}
		kept = append(kept, c.block(part{v, m}).Rope)
	}
	list := document.Array(kept)
	return rewritten(result, "content", list)
}

// rewritten is a block with another value of one member.
func rewritten(p part, name string, value document.Rope) part {
	all := slices.Clone(p.members)
	for i := range all {
		if all[i].Name == name {
			all[i].Value = value.Bytes()
		}
	}
	whole := document.Object(all, "")
	return part{whole.Bytes(), all}
}

// other writes a message that is not a user's: only cache marks go.
func (c *conversation) other(m message) {
	var out document.Rope
	if !slices.ContainsFunc(m.blocks, func(p part) bool { return document.Find(p.members, "cache_control") != nil }) {
		out.Raw(m.whole)
		c.done = append(c.done, out)
		return
	}
	var kept []document.Rope
	for _, p := range m.blocks {
		kept = append(kept, unmarked(p))
	}
	list := document.Array(kept)
	out.Raw(rewritten(part{m.whole, m.members}, "content", list).whole)
	c.done = append(c.done, out)
}

// flush ends the open user message: a new one begins wherever something else
// follows a tool's result.
func (c *conversation) flush() {
	if !c.open {
		return
	}
	start := 0
	for i := 1; i < len(c.says); i++ {
		if c.says[i-1].result && !c.says[i].result {
			c.message(c.says[start:i])
			start = i
		}
	}
	c.message(c.says[start:])
	c.open, c.alone, c.rest, c.says = false, false, nil, nil
}

func (c *conversation) message(blocks []block) {
	var content []document.Rope
	for _, b := range blocks {
		content = append(content, b.Rope)
	}
	var out document.Rope
	out.Text(`{"role":"user","content":`)
	out.Join(document.Array(content))
	for _, m := range c.rest {
		out.Text(",")
		out.Raw(document.Quote(m.Name))
		out.Text(":")
		out.Raw(m.Value)
	}
	out.Text("}")
	c.done = append(c.done, out)
}
