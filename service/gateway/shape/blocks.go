package shape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// llama.cpp takes texts, images, calls and results, and drops every other block without a
// word. Here they become texts: what can be read is written out, and for the rest stands a
// note that says what was there.

// deepestBlock is how far blocks stand in each other that somebody may have written.
const deepestBlock = 16

// words adds what a block says that is no call and no result.
func (c *conversation) words(says []word, p part) []word {
	if p.members == nil || c.depth == deepestBlock {
		return c.bare(says, p.whole)
	}
	c.depth++
	defer func() { c.depth-- }()
	switch kind := document.Find(p.members, "type"); string(kind) {
	case `"text"`:
		return c.bare(says, document.Find(p.members, "text"))
	case `"image"`:
		return c.image(says, p.members)
	case `"document"`:
		return c.document(says, p.members)
	case `"search_result"`:
		says = append(says, plainly("["+heading("search result", p.members, "title", "source")+"]")...)
		return c.contents(says, document.Find(p.members, "content"))
	case `"tool_reference"`:
		return append(says, plainly("["+heading("the tool", p.members, "tool_name")+" was found]")...)
	case `"thinking"`:
		return c.bare(says, document.Find(p.members, "thinking"))
	case `"compaction"`:
		says = append(says, plainly("[a summary of the conversation before]")...)
		return c.contents(says, document.Find(p.members, "content"))
	case `"tool_use"`, `"server_tool_use"`, `"mcp_tool_use"`:
		said := fmt.Sprintf("[called %s with %s]", heading("the tool", p.members, "server_name", "name"), document.Find(p.members, "input"))
		return append(says, plainly(said)...)
	default:
		return c.other(says, p, document.Text(kind))
	}
}

// bare adds a value that is said as it is: a text, or the JSON of anything else.
func (c *conversation) bare(says []word, v jsontext.Value) []word {
	switch {
	case v.Kind() == 'n' || len(v) <= len(`""`) && v.Kind() == '"' || v == nil:
		return says
	case v.Kind() != '"':
		return append(says, plainly(string(v))...)
	}
	return append(says, word{text: v[1 : len(v)-1]})
}

// contents adds what a member "content" says: a text, a list of blocks or one block.
func (c *conversation) contents(says []word, v jsontext.Value) []word {
	if v.Kind() == '[' {
		if all, err := document.Elements(v); err == nil {
			for _, one := range all {
				says = c.words(says, read(one))
			}
			return says
		}
	}
	return c.words(says, read(v))
}

// read is a block that was not read with its message.
func read(v jsontext.Value) part {
	p := part{whole: v}
	if v.Kind() == '{' {
		p.members, _ = document.Members(v)
	}
	return p
}

// other writes out a block that only Anthropic's servers know, such as the results of
// their searches, or that is not known at all.
func (c *conversation) other(says []word, p part, kind string) []word {
	switch {
	case strings.HasSuffix(kind, "_tool_result"):
		says = append(says, plainly("[a tool answered:]")...)
		return append(c.readable(says, "", p.whole), plainly("[end of its answer]")...)
	case kind == "redacted_thinking":
		return says // only Anthropic's servers read it
	case kind == "container_upload":
		c.said.add(BlockLeftOut)
		return append(says, plainly("[a file was put into a container of Anthropic's servers; no tool here can open it]")...)
	case sound(kind):
		c.said.add(MediaLeftOut)
		return append(says, plainly(fmt.Sprintf("[%q was here; local models get texts and images only]", kind))...)
	case strings.HasPrefix(kind, "image") || strings.HasPrefix(kind, "input_image"):
		return c.noImage(says, p.members)
	default:
		c.said.add(BlockLeftOut)
		says = append(says, plainly(fmt.Sprintf("[a block of the type %q was here, which local models do not know; what could be read of it:]", kind))...)
	}
	return c.readable(says, "", p.whole)
}

// sound reports whether a block is of a type as clients name sound and film.
func sound(kind string) bool {
	for _, media := range []string{"audio", "video"} {
		if strings.Contains(kind, media) {
			return true
		}
	}
	return false
}

// unread are members that say nothing to a reader.
var unread = []string{
	"type", "id", "tool_use_id", "file_id", "cache_control", "caller", "citations", "data", "signature",
	"encrypted_content", "encrypted_index", "encrypted_stdout",
}

// readable adds the texts and numbers in a value, each with its name.
func (c *conversation) readable(says []word, name string, v jsontext.Value) []word {
	if c.depth == deepestBlock {
		return c.bare(says, v)
	}
	c.depth++
	defer func() { c.depth-- }()
	switch v.Kind() {
	case '[':
		all, _ := document.Elements(v)
		for _, one := range all {
			says = c.readable(says, "", one)
		}
	case '{':
		p := read(v)
		switch document.Field(p.members, "type") {
		case "text", "image", "document", "tool_reference":
			return c.words(says, p)
		}
		for _, m := range p.members {
			if !slices.Contains(unread, m.Name) {
				says = c.readable(says, m.Name, m.Value)
			}
		}
	case 'n', 0:
	default:
		said := string(v)
		if v.Kind() == '"' {
			said = document.Text(v)
		}
		if said == "" {
			return says
		}
		if name != "" && name != "content" && name != "text" {
			said = name + ": " + said
		}
		says = append(says, plainly(said)...)
	}
	return says
}

// heading names a block, with the values of some members.
func heading(what string, m []document.Member, names ...string) string {
	for _, name := range names {
		if said := document.Field(m, name); said != "" {
			what += fmt.Sprintf(" %q", said)
		}
	}
	return what
}
