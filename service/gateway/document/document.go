// Package document reads JSON documents without copying them, and writes new ones made of
// their pieces.
package document

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Scanner walks through a document once. What it returns are pieces of the
// document itself. It takes what Claude Code and the engines write: half an emoji
// in a truncated tool result, a name twice.
type Scanner struct {
	document []byte
	dec      *jsontext.Decoder
}

// Scan begins to read a document.
func Scan(document []byte) *Scanner {
	return &Scanner{document, jsontext.NewDecoder(bytes.NewBuffer(document), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
}

// Kind is what the next value is.
func (s *Scanner) Kind() jsontext.Kind { return s.dec.PeekKind() }

// Value reads the next value whole.
func (s *Scanner) Value() (jsontext.Value, error) {
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := s.dec.InputOffset()
	return s.document[end-int64(len(v)) : end : end], nil
}

// open enters an object or an array, and tells where it begins.
func (s *Scanner) open(kind jsontext.Kind, what string) (start int64, err error) {
	if s.Kind() != kind {
		if _, err := s.dec.ReadToken(); err != nil {
			return 0, err
		}
		return 0, errors.New("not " + what)
	}
	_, err = s.dec.ReadToken()
	return s.dec.InputOffset() - 1, err
}

// Object reads an object; each is called before every member's value and reads it.
func (s *Scanner) Object(each func(name string) error) (whole jsontext.Value, err error) {
	start, err := s.open('{', "an object")
	if err != nil {
		return nil, err
	}
	for s.Kind() != '}' {
		name, err := s.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if name.Kind() != '"' {
			return nil, errors.New("a name is not a text")
		}
		if err := each(known(name)); err != nil {
			return nil, err
		}
	}
	_, err = s.dec.ReadToken()
	end := s.dec.InputOffset()
	return s.document[start:end:end], err
}

// usual are names of members that cost no memory, by the length that they have in quotes.
var usual = func() (names [24][]string) {
	for _, n := range []string{
		"type", "text", "role", "content", "cache_control", "id", "name", "input", "tool_use_id", "is_error", "thinking", "signature", "source",
		"description", "input_schema", "$schema", "properties", "required", "items", "enum", "default", "additionalProperties", "anyOf", "const", "$ref",
		"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "format", "pattern", "title",
	} {
		names[len(n)+2] = append(names[len(n)+2], n)
	}
	return names
}()

// known is a member's name.
func known(quoted jsontext.Value) string {
	if len(quoted) < len(usual) {
		for _, name := range usual[len(quoted)] {
			if string(quoted[1:len(quoted)-1]) == name {
				return name
			}
		}
	}
	return Text(quoted)
}

// Array reads an array; each is called before every element and reads it.
func (s *Scanner) Array(each func() error) error {
	if _, err := s.open('[', "an array"); err != nil {
		return err
	}
	for s.Kind() != ']' {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// End fails when something follows the document.
func (s *Scanner) End() error {
	switch _, err := s.dec.ReadToken(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return errors.New("something follows the value")
}

// Member is one name and value of a JSON object.
type Member struct {
	Name  string
	Value jsontext.Value
}

// Members lists an object's members in their order.
func (s *Scanner) Members() (all []Member, whole jsontext.Value, err error) {
	const usual = 3 // a text has two or three
	whole, err = s.Object(func(name string) error {
		value, err := s.Value()
		if all == nil {
			all = make([]Member, 0, usual)
		}
		all = append(all, Member{name, value})
		return err
	})
	return all, whole, err
}

// Members lists the members of a document that is an object.
func Members(document []byte) ([]Member, error) {
	s := Scan(document)
	all, _, err := s.Members()
	if err != nil {
		return nil, err
	}
	return all, s.End()
}

// Elements lists the elements of a document that is an array.
func Elements(document []byte) (all []jsontext.Value, err error) {
	s := Scan(document)
	if err := s.Array(func() error {
		value, err := s.Value()
		all = append(all, value)
		return err
	}); err != nil {
		return nil, err
	}
	return all, s.End()
}

// Find returns a member's value, the last one's as the engines' parsers do; nil when the object has none.
func Find(object []Member, name string) jsontext.Value {
	for _, m := range slices.Backward(object) {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Text is the value of a JSON string; empty for anything else.
func Text(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	out, _ := jsontext.AppendUnquote(nil, v) // invalid UTF-8 is replaced
	return string(out)
}

// Field is the text of an object's member.
func Field(object []Member, name string) string { return Text(Find(object, name)) }

// Rope is a document made of pieces of another one: a long conversation is never copied.
// Only one of a Rope's copies may be written to.
type Rope struct {
	pieces [][]byte
	size   int64
	small  []byte // what Text added, in one piece after another
	open   bool   // the last piece is the end of small
}

// Size is its length in bytes.
func (r *Rope) Size() int64 { return r.size }

// Raw adds a piece; it is not copied.
func (r *Rope) Raw(piece []byte) {
	if len(piece) > 0 {
		r.pieces, r.open = append(r.pieces, piece), false
		r.size += int64(len(piece))
	}
}

// Text adds a text, copied.
func (r *Rope) Text(piece string) {
	if len(piece) == 0 {
		return
	}
	if len(piece) > cap(r.small)-len(r.small) {
		r.small, r.open = make([]byte, 0, max(2*cap(r.small), 64, len(piece))), false
	}
	start := len(r.small)
	r.small = append(r.small, piece...)
	if last := len(r.pieces) - 1; r.open {
		r.pieces[last] = r.small[start-len(r.pieces[last]) : len(r.small) : len(r.small)]
	} else {
		r.pieces, r.open = append(r.pieces, r.small[start:len(r.small):len(r.small)]), true
	}
	r.size += int64(len(piece))
}

// Join adds the pieces of another one.
func (r *Rope) Join(other Rope) {
	if len(other.pieces) > 0 {
		r.pieces, r.open = append(r.pieces, other.pieces...), false
		r.size += other.size
	}
}

// Reader reads it once from the beginning.
func (r *Rope) Reader() io.ReadCloser { return &reader{pieces: r.pieces} }

// reader fills what it is given as far as it can: a write for each of many
// small pieces would cost more than all the rest.
type reader struct {
	pieces [][]byte
	offset int // in the first piece
}

func (r *reader) Read(p []byte) (n int, err error) {
	for n < len(p) && len(r.pieces) > 0 {
		copied := copy(p[n:], r.pieces[0][r.offset:])
		n += copied
		if r.offset += copied; r.offset == len(r.pieces[0]) {
			r.pieces, r.offset = r.pieces[1:], 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *reader) Close() error { return nil }

// Bytes is the whole document, copied.
func (r *Rope) Bytes() []byte { return bytes.Join(r.pieces, nil) }

// Object writes an object again without one of its members.
func Object(all []Member, without string) Rope {
	var out Rope
	next := "{"
	for _, m := range all {
		if m.Name == without {
			continue
		}
		out.Text(next)
		out.Raw(Quote(m.Name))
		out.Text(":")
		out.Raw(m.Value)
		next = ","
	}
	if next == "{" {
		out.Text(next)
	}
	out.Text("}")
	return out
}

// Array writes an array.
func Array(items []Rope) Rope {
	var out Rope
	out.Text("[")
	for i, item := range items {
		if i > 0 {
			out.Text(",")
		}
		out.Join(item)
	}
	out.Text("]")
	return out
}

// Quote is a text as a JSON string.
func Quote(s string) []byte {
	out, _ := jsontext.AppendQuote(nil, s)
	return out
}
