package shape

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// Chat templates want a user who begins and roles that alternate, nothing empty, and a
// result for each call, at once and in the calls' order. A conversation is therefore read
// as turns, and written anew from them.

// turn is what one side says before the other one does.
type turn struct {
	assistant bool
	says      []word
	thoughts  []jsontext.Value // an assistant's, quoted
	calls     []call           // an assistant's
}

// call is a call of a tool with what the tool answered.
type call struct {
	id, name string
	input    jsontext.Value // an object
	answered bool
	answer   []word
}

// word is a piece of what is said: a text or an image.
type word struct {
	text     jsontext.Value // as in a JSON string, without the quotation marks
	reminder bool           // of the system's, to be wrapped as one
	media    jsontext.Value // an image's media type; its data is the text, both quoted
}

// seen reports whether it is an image.
func (w word) seen() bool { return w.media != nil }

// conversation reads the messages of a request into turns.
type conversation struct {
	needs Needs
	said  notes
	first []word // of a system message at the very beginning
	turns []turn
	names map[string]string // the tools called, by the call's id; only for NoTools
	depth int               // of the blocks that the one being read stands in
}

// foldMessages writes a conversation as every chat template takes it. System messages go
// out of its middle: strict templates, the Qwen family's for one, refuse them. Their text
// moves into the user's turn around it, as the reminder that Claude Code itself uses
// there. leads allows one at the very beginning. prefill is what the answer is to go on from.
func foldMessages(messages []message, needs Needs, said notes, leads bool) (out document.Rope, prefill string) {
	c := &conversation{needs: needs, said: said, turns: make([]turn, 0, len(messages)+1), names: map[string]string{}}
	for i, m := range messages {
		switch {
		case m.role == "system" && i == 0 && leads:
			c.first = c.unseen(c.message(nil, m, false))
		case m.role == "system":
			c.remind(m)
		default: // a role that is not known is the user's
			c.speak(m)
		}
	}
	return c.written(len(messages) > 0), c.prefill()
}

// prefill is what the assistant has begun to say, at the conversation's end.
func (c *conversation) prefill() string {
	n := len(c.turns)
	if n == 0 || !c.turns[n-1].assistant || len(c.turns[n-1].calls) > 0 || len(c.turns[n-1].says) == 0 {
		return ""
	}
	var p paper
	p.text(c.turns[n-1].says)
	return strings.ReplaceAll(document.Text(p.Bytes()), Joiner, "") // the answer has none
}

// remind adds a system message to the user's turn.
func (c *conversation) remind(m message) {
	said := c.message(nil, m, false)
	if len(said) == 0 {
		return
	}
	for i := range said {
		said[i].reminder = !said[i].seen()
	}
	t := c.turn(false)
	t.says = append(t.says, said...)
}

// speak adds a message to the turn of the one who says it.
func (c *conversation) speak(m message) {
	assistant := m.role == "assistant"
	t := c.turn(assistant)
	if m.listed {
		t.says = slices.Grow(t.says, len(m.blocks))
	}
	t.says = c.message(t.says, m, assistant)
}

// turn is the open turn of one side; it begins one when the other side had the word.
func (c *conversation) turn(assistant bool) *turn {
	if n := len(c.turns); n > 0 && c.turns[n-1].assistant == assistant {
		return &c.turns[n-1]
	}
	if assistant && len(c.turns) == 0 {
		c.turns = append(c.turns, turn{says: plainly("(the conversation goes on)")})
	}
	c.turns = append(c.turns, turn{assistant: assistant})
	return &c.turns[len(c.turns)-1]
}

// message adds what a message says. Claude Code writes the same message now as a text, now
// as a list.
func (c *conversation) message(says []word, m message, assistant bool) []word {
	if m.listed {
		for _, p := range m.blocks {
			says = c.block(says, p, assistant)
		}
		return says
	}
	return c.block(says, read(document.Find(m.members, "content")), assistant)
}

// block adds a content block. Thinking and calls become parts of the assistant's turn, and
// a result goes to its call.
func (c *conversation) block(says []word, p part, assistant bool) []word {
	kind := string(document.Find(p.members, "type"))
	if assistant {
		t := &c.turns[len(c.turns)-1]
		switch kind {
		case `"thinking"`:
			if thought := document.Find(p.members, "thinking"); len(thought) > len(`""`) && thought.Kind() == '"' {
				t.thoughts = append(t.thoughts, thought)
			}
			return says
		case `"redacted_thinking"`: // only Anthropic's servers read it
			return says
		case `"tool_use"`:
			return c.call(says, t, p)
		}
	}
	if kind == `"tool_result"` {
		return c.result(says, p)
	}
	return c.words(says, p)
}

// call adds a call to the assistant's turn. Templates want an object as input.
func (c *conversation) call(says []word, t *turn, p part) []word {
	made := call{id: document.Field(p.members, "id"), name: document.Field(p.members, "name"), input: document.Find(p.members, "input")}
	switch made.input.Kind() {
	case '{':
	case 'n', 0:
		made.input = jsontext.Value("{}")
	default:
		made.input = slices.Concat(jsontext.Value(`{"input":`), made.input, jsontext.Value("}"))
	}
	if c.needs.NoTools {
		c.names[made.id] = made.name
		return append(says, plainly(fmt.Sprintf("[called the tool %q with %s]", made.name, made.input))...)
	}
	t.calls = append(t.calls, made)
	return says
}

// result gives a tool's result to its call. One without a call becomes a text.
func (c *conversation) result(says []word, p part) []word {
	var answer []word
	if document.Find(p.members, "is_error").Kind() == 't' {
		answer = plainly("[the tool failed]") // engines drop the mark
	}
	answer = c.contents(answer, document.Find(p.members, "content"))
	id := document.Field(p.members, "tool_use_id")
	if n := len(c.turns); n > 1 && !c.turns[n-1].assistant {
		calls := c.turns[n-2].calls
		for i := range calls {
			if !calls[i].answered && calls[i].id == id {
				calls[i].answered, calls[i].answer = true, answer
				return says
			}
		}
	}
	heading := "[a tool answered:]"
	if name := c.names[id]; name != "" {
		heading = fmt.Sprintf("[the tool %q answered:]", name)
	}
	says = append(says, plainly(heading)...)
	return append(append(says, answer...), plainly("[end of its answer]")...)
}

// plainly is a text of ours.
func plainly(said string) []word {
	quoted := document.Quote(said)
	return []word{{text: quoted[1 : len(quoted)-1]}}
}
