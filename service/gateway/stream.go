package gateway

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// usage is how many tokens a request took, as llama.cpp counts them: input
// leaves out what came from the cache.
type usage struct {
	Input  int `json:"input_tokens"`
	Cached int `json:"cache_read_input_tokens"`
	Output int `json:"output_tokens"`
}

// add merges an event's counts: later events leave out what has been said.
func (u *usage) add(more usage) {
	u.Input = max(u.Input, more.Input)
	u.Cached = max(u.Cached, more.Cached)
	u.Output = max(u.Output, more.Output)
}

func usageOf(v jsontext.Value) (u usage) {
	_ = json.Unmarshal(v, &u) // what is no number counts as none
	return u
}

// message makes a message of the events that come in, whatever they are: it has one
// beginning and one end, its blocks have consecutive indexes, do not overlap and are ended,
// and hold only what their kind may hold. It writes the model's name that was asked for,
// gives an empty answer a text, and counts.
type message struct {
	asked string // the model's name for the answer
	judge func(status int, body []byte) *failure
	newID func(prefix string) string

	first func() // the first piece of content is here
	out   []byte

	begun  bool // its start is written
	over   bool // its end is written, or an error
	blocks int  // that have begun
	open   openBlock
	tail   tail // its end, which waits for what may still come
	ids    []string
	spoke  bool // there was a text, or a tool call
	called bool // a tool
	cut    bool // the answer ended because it became too long
	failed *failure
	usage  usage
}

// openBlock is the content block that is being written.
type openBlock struct {
	kind   string // empty: none
	in     int    // its index upstream
	usual  []byte // how its usual delta begins, up to the text; empty: it has none
	filled bool   // there was a delta of a tool's input
	input  []byte // a tool's input that came with the block's start
}

// newID makes an identifier as Anthropic's have.
func newID(prefix string) string { return prefix + rand.Text() }

// event handles one event.
func (m *message) event(f *frame) {
	if m.over {
		return
	}
	if f.name == "content_block_delta" && m.usualDelta(f) {
		m.out = append(m.out, f.raw...)
		return
	}
	data, err := document.Members(f.text())
	if err != nil {
		if f.name == "error" {
			m.fail(m.judge(http.StatusInternalServerError, f.text()))
		}
		return // also OpenAI's [DONE]
	}
	name, said := f.name, document.Field(data, "type")
	switch {
	case known[said]:
		name = said
	case name == "" && document.Find(data, "error") != nil:
		name = "error" // an older llama.cpp's
	}
	switch name {
	case "message_start":
		m.start(data)
	case "content_block_start":
		m.blockStart(data)
	case "content_block_delta":
		m.delta(data)
	case "content_block_stop":
		if in, known := number(document.Find(data, "index")); !known || in == m.open.in {
			m.closeBlock()
		}
	case "message_delta":
		m.tail.add(data)
	case "message_stop":
		m.finish()
	case "error":
		m.fail(m.judge(http.StatusInternalServerError, f.text()))
	case "ping":
		m.out = append(m.out, ping...)
	}
}

// known are the events that make a message.
var known = map[string]bool{
	"message_start": true, "content_block_start": true, "content_block_delta": true, "content_block_stop": true,
	"message_delta": true, "message_stop": true, "ping": true, "error": true,
}

// emit writes an event.
func (m *message) emit(name string, data []byte) {
	m.out = append(m.out, "event: "...)
	m.out = append(m.out, name...)
	m.out = append(m.out, "\ndata: "...)
	start := len(m.out)
	m.out = append(m.out, data...)
	for i := start; i < len(m.out); i++ { // it stands between values only: in them it is escaped
		if c := m.out[i]; c == '\n' || c == '\r' {
			m.out[i] = ' '
		}
	}
	m.out = append(m.out, "\n\n"...)
}

// fail ends the message with an error.
func (m *message) fail(f *failure) {
	m.failed, m.over = f, true
	m.out = append(m.out, f.event()...)
}

// start begins the message, once.
func (m *message) start(data []document.Member) {
	inner, _ := document.Members(document.Find(data, "message"))
	m.usage.add(usageOf(document.Find(inner, "usage")))
	if m.begun {
		return
	}
	m.begun = true
	whole := completeMessage(inner, m.asked, m.newID)
	whole = with(whole, "content", []byte("[]"))
	whole = with(whole, "stop_reason", []byte("null"))
	whole = with(whole, "stop_sequence", []byte("null"))
	inside := document.Object(whole, "")
	outer := document.Object(with(with(data, "type", []byte(`"message_start"`)), "message", inside.Bytes()), "")
	m.emit("message_start", outer.Bytes())
}

// begin begins the message if that was forgotten.
func (m *message) begin() {
	if !m.begun {
		m.start(nil)
	}
}

// usualDelta reports whether a delta can pass as it is: it continues the open block with a
// text, and is written as llama.cpp does. It is not parsed.
func (m *message) usualDelta(f *frame) bool {
	data := f.text()
	if len(m.open.usual) == 0 || !bytes.HasPrefix(data, m.open.usual) || !f.plain() {
		return false
	}
	rest := data[len(m.open.usual):]
	n := quoted(rest)
	if n < 0 || string(rest[n:]) != `"}}` {
		return false
	}
	m.heard(n > 0)
	return true
}

// quoted is the length of the JSON string that a text begins with, up to its closing quote;
// -1 when it is none.
func quoted(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i
		case c < ' ':
			return -1
		case c == '\\':
			i++
			if i == len(text) || bytes.IndexByte([]byte(`"\/bfnrtu`), text[i]) < 0 {
				return -1
			}
			if text[i] == 'u' {
				if i+4 >= len(text) || !hexadecimal(text[i+1:i+5]) {
					return -1
				}
				i += 4
			}
		}
	}
	return -1
}

func hexadecimal(digits []byte) bool {
	_, err := strconv.ParseUint(string(digits), 16, 16)
	return err == nil
}

// heard notes a delta of the open block; some says that it is not empty.
func (m *message) heard(some bool) {
	if m.first != nil {
		m.first()
		m.first = nil
	}
	switch {
	case m.open.kind == "text":
		m.spoke = m.spoke || some
	case some && toolKind(m.open.kind):
		m.open.filled = true
	}
}

// complete ends a message whose last event was forgotten, and reports whether it is complete.
func (m *message) complete() bool {
	if m.tail.events == 0 {
		return false
	}
	m.finish()
	return true
}

// finish ends the message.
func (m *message) finish() {
	m.begin()
	m.closeBlock()
	if !m.spoke {
		m.out = fmt.Appendf(m.out, silentBlock, m.blocks, m.blocks, silence, m.blocks)
	}
	m.emit("message_delta", m.tail.write(m))
	m.emit("message_stop", []byte(`{"type":"message_stop"}`))
	m.over = true
}

// silence stands for an answer without a text and without a tool call. Claude Code
// (2.1.197, 2.1.330) asks for such an answer a second time, and then shows nothing.
const silence = "(the model answered nothing)"

const silentBlock = `event: content_block_start
data: {"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"%s"}}

event: content_block_stop
data: {"type":"content_block_stop","index":%d}

`

// tail is the end of a message: llama.cpp says it at once, others in several events.
type tail struct {
	events int
	whole  []document.Member
	delta  []document.Member
	usage  []document.Member
}

// add merges an event; its bytes are of a buffer that is used again.
func (t *tail) add(data []document.Member) {
	t.events++
	for _, m := range data {
		switch inner, err := document.Members(m.Value); {
		case m.Name == "delta" && err == nil:
			t.delta = merged(t.delta, inner)
		case m.Name == "usage" && err == nil:
			t.usage = merged(t.usage, inner)
		case m.Name != "delta" && m.Name != "usage":
			t.whole = merged(t.whole, []document.Member{m})
		}
	}
}

// merged adds members to others, and copies them; null says nothing.
func merged(all, more []document.Member) []document.Member {
	for _, m := range more {
		if m.Value.Kind() != 'n' {
			all = with(all, m.Name, bytes.Clone(m.Value))
		}
	}
	return all
}

// write is the event that says how the message ended.
func (t *tail) write(m *message) []byte {
	counts := document.Object(numbers(t.usage, "output_tokens"), "")
	m.usage.add(usageOf(counts.Bytes()))
	delta := stopped(t.delta, m.called)
	m.cut = document.Field(delta, "stop_reason") == maxTokens
	inside := document.Object(delta, "")
	whole := with(with(with(t.whole, "type", []byte(`"message_delta"`)), "delta", inside.Bytes()), "usage", counts.Bytes())
	out := document.Object(whole, "")
	return out.Bytes()
}
