package shape

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// schema is a JSON schema as far as an engine makes a grammar of it; the rest stays bytes.
type schema struct {
	whole    jsontext.Value // as it was read; nil once it is another one
	object   bool           // not a boolean or what else may stand in a schema's place
	keywords []keyword
	parent   *schema
	seen     state // while references are followed
	taken    bool  // mended by a writing before
}

// keyword is a keyword of a schema, with the schemas below it or any other value.
type keyword struct {
	name  string
	holds holds
	value jsontext.Value   // of one that holds nothing else
	texts []jsontext.Value // of one that holds texts
	under []named          // of one that holds schemas
}

// named is a schema below a keyword; those in a list have no name.
type named struct {
	name string
	schema
}

// holds says how a keyword holds schemas, or texts.
type holds byte

const (
	nothing holds = iota
	one
	list
	byName
	ofTexts
)

// below says what stands below a keyword that engines read.
func below(name string, kind jsontext.Kind) holds {
	switch name {
	case "properties", "$defs", "definitions":
		if kind == '{' {
			return byName
		}
	case "anyOf", "oneOf", "allOf", "prefixItems":
		if kind == '[' {
			return list
		}
	case "required", "type":
		if kind == '[' {
			return ofTexts
		}
	case "items", "additionalProperties":
		switch {
		case kind == '{':
			return one
		case kind == '[' && name == "items":
			return list
		}
	}
	return nothing
}

// shelf keeps what is read of many schemas in few pieces of memory.
type shelf[T any] struct {
	open []T // of schemas that are being read
	room []T
}

func (s *shelf[T]) put(v T) { s.open = append(s.open, v) }

// take closes what was put there after the first ones.
func (s *shelf[T]) take(first int) []T {
	all := s.open[first:]
	if len(all) > cap(s.room)-len(s.room) {
		s.room = make([]T, 0, max(64, len(all)))
	}
	from := len(s.room)
	s.room = append(s.room, all...)
	s.open = s.open[:first]
	return s.room[from:len(s.room):len(s.room)]
}

// reader reads schemas.
type reader struct {
	*document.Scanner
	keywords shelf[keyword]
	schemas  shelf[named]
	texts    shelf[jsontext.Value]
}

// schema reads what stands where a schema is expected.
func (r *reader) schema() (read schema, err error) {
	if r.Kind() != '{' {
		read.whole, err = r.Value()
		return read, err
	}
	first := len(r.keywords.open)
	read.object = true
	read.whole, err = r.Object(func(name string) error {
		w := keyword{name: name, holds: below(name, r.Kind())}
		err := r.below(&w)
		r.keywords.put(w)
		return err
	})
	read.keywords = r.keywords.take(first)
	return read, err
}

// below reads a keyword's value.
func (r *reader) below(w *keyword) (err error) {
	schemas, texts := len(r.schemas.open), len(r.texts.open)
	add := func(name string) error {
		below, err := r.schema()
		r.schemas.put(named{name, below})
		return err
	}
	switch w.holds {
	case one:
		err = add("")
	case list:
		err = r.Array(func() error { return add("") })
	case byName:
		_, err = r.Object(add)
	case ofTexts:
		err = r.Array(func() error {
			value, err := r.Value()
			r.texts.put(value)
			return err
		})
	default:
		w.value, err = r.Value()
	}
	w.under, w.texts = r.schemas.take(schemas), r.texts.take(texts)
	return err
}

// find returns a keyword, of one that comes twice the last; nil when it is not there.
func (s *schema) find(name string) *keyword {
	for i := len(s.keywords) - 1; i >= 0; i-- {
		if s.keywords[i].name == name {
			return &s.keywords[i]
		}
	}
	return nil
}

// set adds a keyword, or gives it another value.
func (s *schema) set(k keyword) {
	if w := s.find(k.name); w != nil {
		*w = k
		return
	}
	s.keywords = append(s.keywords, k)
}

// at is the schema at the end of a path of keywords and names; nil when there is none.
func (s *schema) at(path string) *schema {
	for left := true; left; {
		var name string
		name, path, left = strings.Cut(path, "/")
		w := s.find(name)
		switch {
		case w == nil || w.holds == nothing || w.holds == ofTexts:
			return nil
		case w.holds == one:
			s = &w.under[0].schema
		case !left:
			return nil
		default:
			name, path, left = strings.Cut(path, "/")
			if s = w.at(name); s == nil {
				return nil
			}
		}
	}
	return s
}

// at is one of the schemas below a keyword, by its name or its place in the list.
func (w *keyword) at(name string) *schema {
	if w.holds == list {
		if i, err := strconv.ParseUint(name, 10, 31); err == nil && int(i) < len(w.under) {
			return &w.under[i].schema
		}
		return nil
	}
	for i := len(w.under) - 1; i >= 0; i-- {
		if w.under[i].name == name {
			return &w.under[i].schema
		}
	}
	return nil
}

// rope writes a schema: what nobody touched is not copied.
func (s *schema) rope() document.Rope {
	var out document.Rope
	if s.whole != nil {
		out.Raw(s.whole)
		return out
	}
	var members []document.Member
	for i := range s.keywords {
		members = append(members, document.Member{Name: s.keywords[i].name, Value: s.keywords[i].written()})
	}
	return document.Object(members, "")
}

func (w *keyword) written() jsontext.Value {
	var items []document.Rope
	var members []document.Member
	for _, text := range w.texts {
		var same document.Rope
		same.Raw(text)
		items = append(items, same)
	}
	for i := range w.under {
		below := w.under[i].rope()
		switch w.holds {
		case one:
			return below.Bytes()
		case list:
			items = append(items, below)
		case byName:
			members = append(members, document.Member{Name: w.under[i].name, Value: below.Bytes()})
		}
	}
	switch w.holds {
	case list, ofTexts:
		all := document.Array(items)
		return all.Bytes()
	case byName:
		all := document.Object(members, "")
		return all.Bytes()
	}
	return w.value
}
