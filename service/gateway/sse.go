package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// readers keep their buffers from stream to stream.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 16<<10) }}

// events passes a stream of server-sent events on, event by event as they come: the usual
// ones as they are, the others so that they make the message that Anthropic's SDKs expect.
// See message for that.
type events struct {
	message
	upstream io.ReadCloser
	lines    *bufio.Reader
	gone     func() bool // the client has left

	end func(*failure) // the stream has ended; nil when it was complete

	left  []byte // of out, which has been written but not read
	frame frame
	done  bool
}

// frame is one event as it comes in.
type frame struct {
	raw    []byte // its lines, and what there is of the next one
	line   int    // where in raw that one begins
	name   string // its event's; empty: none
	from   int    // where in raw its data begin
	to     int
	joined []byte // data of several lines
	data   int    // how many
}

// longestEvent is more than any answer needs.
const longestEvent = maxBody

func newEvents(upstream io.ReadCloser, asked string, judge func(status int, body []byte) *failure) *events {
	lines := readers.Get().(*bufio.Reader)
	lines.Reset(upstream)
	return &events{upstream: upstream, lines: lines, message: message{asked: asked, judge: judge, newID: newID}}
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
	const enough = 16 << 10
	for {
		piece, err := e.lines.ReadSlice('\n')
		e.frame.raw = append(e.frame.raw, piece...)
		switch {
		case err == nil:
			e.line()
		case !errors.Is(err, bufio.ErrBufferFull):
			e.finish(err)
			return
		}
		if len(e.frame.raw) > longestEvent {
			e.finish(errors.New("an event without an end"))
			return
		}
		if e.lines.Buffered() == 0 || len(e.out) >= enough {
			return
		}
	}
}

// line handles a line that is complete.
func (e *events) line() {
	f := &e.frame
	content := bytes.TrimRight(f.raw[f.line:], "\r\n")
	field, value, _ := bytes.Cut(content, []byte(":"))
	switch {
	case len(content) == 0:
		if f.name != "" || f.data > 0 {
			e.event(f)
		}
		f.reset()
		return
	case len(field) == 0 && bytes.IndexByte(content, '\r') < 0: // a comment
		e.out = append(append(e.out, content...), "\n\n"...)
	case string(field) == "event":
		f.name = eventName(bytes.TrimSpace(value))
		f.line = len(f.raw)
		return
	case string(field) == "data":
		f.add(len(field)+1, value)
		f.line = len(f.raw)
		return
	}
	f.raw = f.raw[:f.line] // what else there may be means nothing to Anthropic's SDKs
}

// add notes a line of data, which begins after its field.
func (f *frame) add(field int, value []byte) {
	trimmed := bytes.TrimLeft(value, " \t")
	from := f.line + field + len(value) - len(trimmed)
	to := from + len(bytes.TrimRight(trimmed, " \t"))
	switch f.data++; f.data {
	case 1:
		f.from, f.to = from, to
		return
	case 2:
		f.joined = append(f.joined[:0], f.raw[f.from:f.to]...)
	}
	f.joined = append(append(f.joined, '\n'), f.raw[from:to]...)
}

// text is the event's data.
func (f *frame) text() []byte {
	if f.data > 1 {
		return f.joined
	}
	return f.raw[f.from:f.to]
}

// plain reports whether the event is written as Anthropic does: a line with its name, one
// with data, an empty one.
func (f *frame) plain() bool {
	return f.data == 1 && bytes.HasPrefix(f.raw, []byte("event: ")) && bytes.IndexByte(f.raw, '\r') < 0 &&
		len(f.raw) == len("event: \ndata: \n\n")+len(f.name)+f.to-f.from
}

func (f *frame) reset() {
	const keep = 64 << 10
	if cap(f.raw) > keep || cap(f.joined) > keep {
		*f = frame{}
	}
	*f = frame{raw: f.raw[:0], joined: f.joined[:0]}
}

// eventName avoids a copy of the usual names.
func eventName(name []byte) string {
	for _, usual := range [...]string{"content_block_delta", "content_block_start", "content_block_stop", "message_start", "message_delta", "message_stop", "ping", "error"} {
		if string(name) == usual {
			return usual
		}
	}
	return string(name)
}

// finish ends the stream; an incomplete one with an error event.
func (e *events) finish(err error) {
	e.done = true
	if len(e.frame.raw) > e.frame.line {
		e.line()
	}
	if e.frame.data > 0 { // the empty line after the last event is often forgotten
		e.event(&e.frame)
	}
	if !e.over && !e.complete() && (e.gone == nil || !e.gone()) {
		why := "it ended in the middle"
		if !errors.Is(err, io.EOF) {
			why = "the connection to Docker Model Runner was lost"
		}
		e.fail(broken(why))
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
