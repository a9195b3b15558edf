package gateway

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one name and value of a JSON object, as bytes of the document.
type member struct {
	name  string
	value jsontext.Value
}

// newDecoder reads the document in place: no value is copied. It takes what
// Claude Code and the engines write: half an emoji in a truncated tool result, a
// name twice.
func newDecoder(document []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(document), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
}

// members lists an object's members in their order. It checks the whole document.
func members(document []byte) ([]member, error) {
	dec := newDecoder(document)
	if dec.PeekKind() != '{' {
		return nil, notA(dec, "an object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var all []member
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		text := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		all = append(all, member{text, value})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	return all, ended(dec)
}

// elements lists an array's elements.
func elements(document []byte) ([]jsontext.Value, error) {
	dec := newDecoder(document)
	if dec.PeekKind() != '[' {
		return nil, notA(dec, "an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var all []jsontext.Value
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	return all, ended(dec)
}

func notA(dec *jsontext.Decoder, what string) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	return errors.New("not " + what)
}

func ended(dec *jsontext.Decoder) error {
	switch _, err := dec.ReadToken(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return errors.New("something follows the value")
}

// find returns a member's value, the last one's as the engines' parsers do; nil when the object has none.
func find(object []member, name string) jsontext.Value {
	for _, m := range slices.Backward(object) {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text is the value of a JSON string; empty for anything else.
func text(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	out, _ := jsontext.AppendUnquote(nil, v) // invalid UTF-8 is replaced
	return string(out)
}

// field is the text of an object's member.
func field(object []member, name string) string { return text(find(object, name)) }

// rope is a document made of pieces of another one: a long conversation is never copied.
type rope struct {
	pieces [][]byte
	size   int64
}

func (r *rope) raw(piece []byte) {
	if len(piece) > 0 {
		r.pieces = append(r.pieces, piece)
		r.size += int64(len(piece))
	}
}

func (r *rope) text(piece string) { r.raw([]byte(piece)) }

func (r *rope) join(other rope) {
	r.pieces = append(r.pieces, other.pieces...)
	r.size += other.size
}

// reader reads it once from the beginning.
func (r *rope) reader() io.ReadCloser {
	readers := make([]io.Reader, len(r.pieces))
	for i, p := range r.pieces {
		readers[i] = bytes.NewReader(p)
	}
	return io.NopCloser(io.MultiReader(readers...))
}

func (r *rope) bytes() []byte { return bytes.Join(r.pieces, nil) }
