package gateway

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner walks through a document once. What it returns are pieces of the
// document itself. It takes what Claude Code and the engines write: half an emoji
// in a truncated tool result, a name twice.
type scanner struct {
	document []byte
	dec      *jsontext.Decoder
}

func scan(document []byte) *scanner {
	return &scanner{document, jsontext.NewDecoder(bytes.NewBuffer(document), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))}
}

func (s *scanner) kind() jsontext.Kind { return s.dec.PeekKind() }

// value reads the next value whole.
func (s *scanner) value() (jsontext.Value, error) {
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := s.dec.InputOffset()
	return s.document[end-int64(len(v)) : end : end], nil
}

// open enters an object or an array, and tells where it begins.
func (s *scanner) open(kind jsontext.Kind, what string) (start int64, err error) {
	if s.kind() != kind {
		if _, err := s.dec.ReadToken(); err != nil {
			return 0, err
		}
		return 0, errors.New("not " + what)
	}
	_, err = s.dec.ReadToken()
	return s.dec.InputOffset() - 1, err
}

// object reads an object; each is called before every member's value and reads it.
func (s *scanner) object(each func(name string) error) (whole jsontext.Value, err error) {
	start, err := s.open('{', "an object")
	if err != nil {
		return nil, err
	}
	for s.kind() != '}' {
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

// known is a member's name; the usual ones cost no memory.
func known(quoted jsontext.Value) string {
	switch string(quoted) {
	case `"type"`:
		return "type"
	case `"text"`:
		return "text"
	case `"role"`:
		return "role"
	case `"content"`:
		return "content"
	case `"cache_control"`:
		return "cache_control"
	}
	return text(quoted)
}

// array reads an array; each is called before every element and reads it.
func (s *scanner) array(each func() error) error {
	if _, err := s.open('[', "an array"); err != nil {
		return err
	}
	for s.kind() != ']' {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// end fails when something follows the document.
func (s *scanner) end() error {
	switch _, err := s.dec.ReadToken(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return errors.New("something follows the value")
}

// member is one name and value of a JSON object.
type member struct {
	name  string
	value jsontext.Value
}

// members lists an object's members in their order.
func (s *scanner) members() (all []member, whole jsontext.Value, err error) {
	whole, err = s.object(func(name string) error {
		value, err := s.value()
		all = append(all, member{name, value})
		return err
	})
	return all, whole, err
}

// members lists the members of a document that is an object.
func members(document []byte) ([]member, error) {
	s := scan(document)
	all, _, err := s.members()
	if err != nil {
		return nil, err
	}
	return all, s.end()
}

// elements lists the elements of a document that is an array.
func elements(document []byte) (all []jsontext.Value, err error) {
	s := scan(document)
	if err := s.array(func() error {
		value, err := s.value()
		all = append(all, value)
		return err
	}); err != nil {
		return nil, err
	}
	return all, s.end()
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
func (r *rope) reader() io.ReadCloser { return &ropeReader{pieces: r.pieces} }

// ropeReader fills what it is given as far as it can: a write for each of many
// small pieces would cost more than all the rest.
type ropeReader struct {
	pieces [][]byte
	offset int // in the first piece
}

func (r *ropeReader) Read(p []byte) (n int, err error) {
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

func (r *ropeReader) Close() error { return nil }

func (r *rope) bytes() []byte { return bytes.Join(r.pieces, nil) }
