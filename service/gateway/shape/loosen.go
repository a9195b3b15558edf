package shape

import (
	"bytes"
	"net/url"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// deepest is how many schemas may stand in one another: the grammar of more takes an
// engine seconds. Of a loosened one fewer are left.
const (
	deepest      = 20
	deepestLoose = 10
)

// loosely is what is left of a schema that is loosened. All other keywords only narrow
// what fits: engines turn them into grammars, each to its own limits, or do not know them,
// and a model gains little from them.
var loosely = map[string]bool{
	"type": true, "properties": true, "required": true, "additionalProperties": true, "items": true, "prefixItems": true, "enum": true, "const": true,
	"anyOf": true, "oneOf": true, "allOf": true, "$ref": true, "$defs": true, "definitions": true, "format": true,
	"description": true, "title": true, "default": true, "examples": true, "nullable": true, "$schema": true,
}

// types are those of JSON schema, and what servers that were written by hand call them.
var types = map[string]string{
	"object": "object", "array": "array", "string": "string", "number": "number", "integer": "integer", "boolean": "boolean", "null": "null",
	"dict": "object", "list": "array", "str": "string", "text": "string", "float": "number", "double": "number", "int": "integer", "bool": "boolean", "none": "null",
}

// mender takes out of a tool's schema what engines refuse, and, when loose, all that an
// engine may stumble over. What it leaves in is not changed.
type mender struct {
	loose   bool
	dropped bool // something that only a loose one goes without
	changed bool
	refs    bool // there are references
	root    *schema
}

// mend mends a whole schema. What one rule takes out may leave work for another.
func (m *mender) mend(root *schema) {
	for m.root, m.changed = root, true; m.changed; {
		m.changed, m.refs = false, false
		m.each(root, 0)
		m.argument(root)
		if m.refs {
			m.follow(root)
		}
	}
}

// argument makes a tool's own schema that of an object with a list of properties: a model
// calls with names and values, and some templates count on the list.
func (m *mender) argument(root *schema) {
	if kind := root.find("type"); kind == nil || string(kind.value) != `"object"` {
		m.touch(root)
		root.set(keyword{name: "type", value: jsontext.Value(`"object"`)})
	}
	for _, name := range []string{"properties", "anyOf", "oneOf", "allOf", "$ref"} {
		if root.find(name) != nil {
			return
		}
	}
	m.touch(root)
	root.set(keyword{name: "properties", holds: byName})
	if root.find("additionalProperties") == nil {
		root.set(keyword{name: "additionalProperties", value: jsontext.Value("true")})
	}
}

// touch says that a schema, and so each one around it, is another than was read.
func (m *mender) touch(s *schema) {
	m.changed = true
	for ; s != nil; s = s.parent {
		s.whole = nil
	}
}

// each mends a schema and those below it.
func (m *mender) each(s *schema, depth int) {
	limit := deepest
	if m.loose {
		limit = deepestLoose
	}
	s.seen = notFollowed
	switch {
	case !s.object:
		m.touch(s)
		s.object, s.keywords = true, nil
		return
	case depth > limit:
		if cut := m.keep(s, func(w *keyword) bool { return w.name == "description" }); cut && m.loose {
			m.dropped = true
		}
		return
	}
	m.keep(s, func(w *keyword) bool {
		if m.loose && (!loosely[w.name] || w.name != "$ref" && bytes.Contains(w.value, []byte(`"$ref"`))) { // some engines follow it wherever it stands
			m.dropped = true
			return false
		}
		return m.takes(s, w)
	})
	m.counted(s)
	for i := range s.keywords {
		m.refs = m.refs || s.keywords[i].name == "$ref"
		for j := range s.keywords[i].under {
			below := &s.keywords[i].under[j].schema
			below.parent = s
			m.each(below, depth+1)
		}
	}
}

// keep drops all other keywords, and reports whether there were any.
func (m *mender) keep(s *schema, which func(*keyword) bool) (dropped bool) {
	kept := s.keywords[:0]
	for i := range s.keywords {
		if which(&s.keywords[i]) {
			kept = append(kept, s.keywords[i])
		}
	}
	if len(kept) < len(s.keywords) {
		m.touch(s)
		s.keywords, dropped = kept, true
	}
	return dropped
}

// takes reports whether an engine takes a keyword's value. It mends a type and a list of
// what is required.
func (m *mender) takes(s *schema, w *keyword) bool {
	kind := w.value.Kind()
	switch w.name {
	case "type":
		return m.typed(s, w)
	case "properties", "$defs", "definitions":
		return w.holds == byName
	case "anyOf", "oneOf", "allOf":
		return len(w.under) > 0 && !w.onlyRequires()
	case "prefixItems":
		return w.holds == list
	case "items":
		return w.holds != nothing
	case "additionalProperties":
		return w.holds == one || kind == 't' || kind == 'f'
	case "required":
		return m.required(s, w)
	case "enum":
		return kind == '[' && len(bytes.Trim(w.value, "[] \t\r\n")) > 0
	case "minLength", "minItems":
		n, err := strconv.ParseInt(string(w.value), 10, 32)
		return err == nil && n >= 0 && n <= most
	case "maxLength", "maxItems":
		n, err := strconv.ParseInt(string(w.value), 10, 32) // as engines read it
		return err == nil && n >= 0
	case "minimum", "exclusiveMinimum":
		n, ok := bound(w.value)
		return ok && n < farthest
	case "maximum", "exclusiveMaximum":
		n, ok := bound(w.value)
		return ok && n > -farthest
	case "pattern":
		return kind == '"' && regular(document.Text(w.value))
	case "format", "description", "$ref":
		return kind == '"'
	}
	return true
}

// typed mends a type in other letters, or another word for one. Of a list it keeps those
// that are known.
func (m *mender) typed(s *schema, w *keyword) bool {
	if w.holds != ofTexts {
		name := known(w.value)
		if name != nil && !bytes.Equal(name, w.value) {
			m.touch(s)
			w.value = name
		}
		return name != nil
	}
	kept := w.texts[:0]
	for _, value := range w.texts {
		name := known(value)
		if name == nil || !bytes.Equal(name, value) {
			m.touch(s)
		}
		if name != nil {
			kept = append(kept, name)
		}
	}
	w.texts = kept
	return len(kept) > 0
}

// known is a type as JSON schema calls it; nil for one it does not have.
func known(value jsontext.Value) jsontext.Value {
	if q := value; len(q) > 2 && types[string(q[1:len(q)-1])] == string(q[1:len(q)-1]) {
		return q
	}
	if name := types[strings.ToLower(document.Text(value))]; name != "" {
		return document.Quote(name)
	}
	return nil
}

// required takes properties off the list that the schema does not have, unless it may
// have them from elsewhere.
func (m *mender) required(s *schema, w *keyword) bool {
	if w.holds != ofTexts {
		return false
	}
	properties := s.find("properties")
	if properties == nil || properties.holds != byName || s.open() {
		return true
	}
	kept := w.texts[:0]
	for _, name := range w.texts {
		if properties.at(document.Text(name)) != nil {
			kept = append(kept, name)
		}
	}
	if len(kept) < len(w.texts) {
		m.touch(s)
		w.texts = kept
	}
	return true
}

// open reports whether a schema takes properties that it does not list itself.
func (s *schema) open() bool {
	for _, name := range []string{"patternProperties", "anyOf", "oneOf", "allOf", "$ref"} {
		if s.find(name) != nil {
			return true
		}
	}
	more := s.find("additionalProperties")
	return more != nil && more.value.Kind() != 'f'
}

// onlyRequires reports whether the alternatives differ in nothing but what is required:
// engines read them as "anything" and forget the properties beside them.
func (w *keyword) onlyRequires() bool {
	return !slices.ContainsFunc(w.under, func(n named) bool {
		return !n.object || len(n.keywords) != 1 || n.keywords[0].name != "required"
	})
}

// farthest is the first number with more digits than the grammars for a bound that is
// open to one side have room for: an engine fills gigabytes with the difference.
const farthest = 1e15

// bound reads a number that JSON's readers agree on.
func bound(v jsontext.Value) (float64, bool) {
	n, err := strconv.ParseFloat(string(v), 64)
	return n, err == nil && v.Kind() == '0' && n <= 1<<53 && n >= -(1<<53)
}

// most is how often something may have to be repeated.
const most = 1000

// regular reports whether an expression is one that grammars can follow: repeated at most
// 1000 times, without look-around. Engines take off the marks of its ends as they stand.
func regular(pattern string) bool {
	inner := strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	for _, p := range []string{pattern, inner} {
		if _, err := syntax.Parse(p, syntax.Perl); err != nil || p == "" {
			return false
		}
	}
	return true
}

// counted drops limits that contradict each other: engines run out of memory over them.
func (m *mender) counted(s *schema) {
	for _, pair := range [][2]string{{"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minimum", "maximum"}, {"exclusiveMinimum", "exclusiveMaximum"}, {"minimum", "exclusiveMaximum"}, {"exclusiveMinimum", "maximum"}} {
		least, most := s.find(pair[0]), s.find(pair[1])
		if least == nil || most == nil {
			continue
		}
		low, _ := bound(least.value)
		if high, _ := bound(most.value); low > high {
			m.keep(s, func(w *keyword) bool { return w.name != pair[0] && w.name != pair[1] })
		}
	}
}

// state is how far a schema's references were wasFollowed.
type state byte

const (
	notFollowed state = iota
	inFollowing
	wasFollowed
)

// follow drops references that lead nowhere, out of the schema, or round in a circle. A
// circle through a property is a list or a tree, and stays, unless the schema is loosened.
func (m *mender) follow(s *schema) {
	if s.seen == notFollowed {
		m.direct(s)
	}
	for i := range s.keywords {
		for j := range s.keywords[i].under {
			m.follow(&s.keywords[i].under[j].schema)
		}
	}
}

func (m *mender) direct(s *schema) {
	s.seen = inFollowing
	m.keep(s, func(w *keyword) bool {
		if w.name == "$ref" {
			return m.leads(s, w)
		}
		for j := range w.under {
			below := &w.under[j].schema
			if (m.loose || w.name == "anyOf" || w.name == "oneOf" || w.name == "allOf") && below.seen == notFollowed {
				m.direct(below)
			}
		}
		return true
	})
	s.seen = wasFollowed
}

// leads reports whether a reference leads somewhere. Engines do not decode its path.
func (m *mender) leads(s *schema, w *keyword) bool {
	path, local := strings.CutPrefix(document.Text(w.value), "#/")
	if !local {
		return false
	}
	target := m.root.at(path)
	if target == nil {
		plain, err := url.PathUnescape(path)
		if target = m.root.at(plain); err != nil || target == nil {
			return false
		}
		m.touch(s)
		w.value = document.Quote("#/" + plain)
	}
	if target.seen == inFollowing {
		m.dropped = m.dropped || m.loose
		return false
	}
	if target.seen == notFollowed {
		m.direct(target)
	}
	return true
}
