package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

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

// readers keep their buffers from stream to stream.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, longestLine) }}

// longestLine is what the filter understands; a longer line passes unread.
const longestLine = 16 << 10

// events passes a stream of server-sent events on, line by line as they come.
// It writes the model's name that was asked for, gives an empty answer a text,
// ends a stream that breaks off with an error event, and counts.
type events struct {
	upstream io.ReadCloser
	lines    *bufio.Reader
	asked    string // the model's name for the answer
	model    Model
	gone     func() bool

	first func()         // the first piece of content is here
	end   func(*failure) // the stream has ended; nil when it was complete

	out     []byte // what has been written but not read
	left    []byte // of out
	event   string // the name of the event whose lines pass
	inLine  bool   // the last piece was the beginning of a long line
	pending bool   // a line was passed that no empty line has closed
	blocks  int    // of content that have begun
	spoke   bool   // there was a text, or a tool call
	stopped bool   // the message is complete, or an error event said why not
	cut     bool   // the answer ended because it became too long
	failed  *failure
	usage   usage
	done    bool
}

func newEvents(upstream io.ReadCloser, asked string, model Model) *events {
	lines := readers.Get().(*bufio.Reader)
	lines.Reset(upstream)
	return &events{upstream: upstream, lines: lines, asked: asked, model: model}
}

func (e *events) Read(p []byte) (int, error) {
	for len(e.left) == 0 {
		if e.done {
			return 0, io.EOF
		}
		e.out = e.out[:0]
		e.fill()
		e.left = e.out
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

// fill handles the lines that are there, at least one.
func (e *events) fill() {
	for {
		line, err := e.lines.ReadSlice('\n')
		if len(line) > 0 {
			e.line(line, err == nil)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			e.finish(err)
			return
		}
		if e.lines.Buffered() == 0 || len(e.out) >= longestLine {
			return
		}
	}
}

func (e *events) line(line []byte, whole bool) {
	continues := e.inLine
	e.inLine = !whole
	if continues || !whole {
		e.pending = true
		e.spoke = e.spoke || e.event == "content_block_delta" // so long a piece says something
		e.out = append(e.out, line...)
		return
	}
	content := bytes.TrimRight(line, "\r\n")
	switch {
	case len(content) == 0:
		e.pending, e.event = false, ""
	case bytes.HasPrefix(content, []byte("event:")):
		e.pending = true
		e.begin(string(bytes.TrimSpace(content[len("event:"):])))
	case bytes.HasPrefix(content, []byte("data:")):
		e.pending = true
		if e.data(bytes.TrimSpace(content[len("data:"):])) {
			return
		}
	}
	e.out = append(e.out, line...)
}

// begin sees an event's name before it is passed on.
func (e *events) begin(name string) {
	e.event = name
	switch name {
	case "content_block_delta":
		if e.first != nil {
			e.first()
			e.first = nil
		}
	case "message_delta":
		if !e.spoke {
			e.spoke = true
			e.out = fmt.Appendf(e.out, silentBlock, e.blocks, e.blocks, silence, e.blocks)
		}
	case "message_stop":
		e.stopped = true
	}
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

// maxTokens is why an answer stops that became as long as its request allows.
const maxTokens = "max_tokens"

// listen looks for the first words of an answer.
func (e *events) listen(data []byte) {
	var said struct {
		Block struct{ Type, Text string } `json:"content_block"`
		Delta struct{ Text string }
	}
	if json.Unmarshal(data, &said) != nil {
		return
	}
	e.spoke = speaks(said.Block.Type, said.Block.Text) || said.Delta.Text != ""
}

// speaks reports whether a block says or does something; thinking alone does not.
func speaks(kind, text string) bool {
	switch kind {
	case "", "thinking", "redacted_thinking":
		return false
	case "text":
		return text != ""
	}
	return true
}

// data handles an event's data and reports whether it wrote them.
func (e *events) data(data []byte) (written bool) {
	switch e.event {
	case "content_block_start":
		e.blocks++
		if !e.spoke {
			e.listen(data)
		}
	case "content_block_delta":
		if !e.spoke {
			e.listen(data)
		}
	case "message_start":
		renamed, said, ok := renameMessage(data, e.asked, "message")
		if !ok {
			return false
		}
		e.usage.add(said)
		e.out = append(e.out, "data: "...)
		e.out = append(append(e.out, renamed...), '\n')
		return true
	case "message_delta":
		var said struct {
			Delta struct {
				StopReason string `json:"stop_reason"`
			}
			Usage usage
		}
		if json.Unmarshal(data, &said) == nil {
			e.usage.add(said.Usage)
			e.cut = said.Delta.StopReason == maxTokens
		}
	case "error", "": // llama.cpp writes an error in its own shape, older ones without a name
		if e.event == "" && !bytes.Contains(data, []byte(`"error"`)) {
			return false
		}
		e.failed = translate(http.StatusInternalServerError, data, e.model)
		e.stopped = true
		if e.event == "" {
			e.out = append(e.out, "event: error\n"...)
		}
		e.out = append(e.out, "data: "...)
		e.out = append(append(e.out, e.failed.body()...), '\n')
		return true
	}
	return false
}

// finish ends the stream; an incomplete one with an error event.
func (e *events) finish(err error) {
	e.done = true
	if !e.stopped && (e.gone == nil || !e.gone()) {
		if e.inLine || e.pending {
			e.out = append(e.out, "\n\n"...)
		}
		why := "it ended in the middle"
		if !errors.Is(err, io.EOF) {
			why = "the connection to Docker Model Runner was lost"
		}
		e.failed = broken(why)
		e.out = append(e.out, e.failed.event()...)
	}
	e.report()
}

func (e *events) report() {
	if e.end != nil {
		e.end(e.failed)
		e.end = nil
	}
}

// Close ends the reading, also in the midst.
func (e *events) Close() error {
	e.report()
	e.done, e.left = true, nil
	err := e.upstream.Close()
	if e.lines != nil {
		e.lines.Reset(nil)
		readers.Put(e.lines)
		e.lines = nil
	}
	return err
}

// renameMessage writes the name that was asked for into a message, which stands
// in the member within or is the document itself. It returns the message's usage.
func renameMessage(whole []byte, asked, within string) (out []byte, said usage, ok bool) {
	outer, err := document.Members(whole)
	if err != nil {
		return nil, said, false
	}
	message := outer
	if within != "" {
		if message, err = document.Members(document.Find(outer, within)); err != nil {
			return nil, said, false
		}
	}
	_ = json.Unmarshal(document.Find(message, "usage"), &said)
	for i := range message {
		if message[i].Name == "model" {
			message[i].Value = document.Quote(asked)
		}
	}
	renamed := document.Object(message, "")
	if within == "" {
		return renamed.Bytes(), said, true
	}
	for i := range outer {
		if outer[i].Name == within {
			outer[i].Value = renamed.Bytes()
		}
	}
	renamed = document.Object(outer, "")
	return renamed.Bytes(), said, true
}

// answerJSON checks and repairs an answer that was not streamed. cut reports whether it
// became too long.
func answerJSON(body []byte, asked string) (out []byte, said usage, cut bool, err error) {
	message, err := document.Members(body)
	if err != nil {
		return nil, said, false, fmt.Errorf("it is not a message: %w", err)
	}
	if document.Field(message, "type") != "message" {
		return nil, said, false, errors.New("it is not a message")
	}
	cut = document.Field(message, "stop_reason") == maxTokens
	content := document.Find(message, "content")
	blocks, err := document.Elements(content)
	if err != nil && content.Kind() != 'n' && content != nil {
		return nil, said, cut, errors.New("its content is not a list")
	}
	if !slices.ContainsFunc(blocks, func(v jsontext.Value) bool {
		b, err := document.Members(v)
		return err == nil && speaks(document.Field(b, "type"), document.Field(b, "text"))
	}) {
		var list []document.Rope
		for _, v := range append(blocks, jsontext.Value(`{"type":"text","text":"`+silence+`"}`)) {
			var one document.Rope
			one.Raw(v)
			list = append(list, one)
		}
		repaired := document.Array(list)
		if content == nil {
			message = append(message, document.Member{Name: "content"})
		}
		for i := range message {
			if message[i].Name == "content" {
				message[i].Value = repaired.Bytes()
			}
		}
	}
	repaired := document.Object(message, "")
	out, said, _ = renameMessage(repaired.Bytes(), asked, "")
	return out, said, cut, nil
}
