package claude

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// maxDepth bounds the nesting that is edited: the parser recurses.
const maxDepth = 10_000

var byteOrderMark = []byte("\xef\xbb\xbf")

// SyntaxError says why a settings file cannot be edited safely. It quotes
// nothing of the file, which may hold secrets.
type SyntaxError struct {
	Line, Column int // 1-based; the column counts bytes
	Reason       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// Document is a settings file in memory. Claude Code skips a file whole when it
// is not strict JSON of the right types, so such a file is not edited either.
type Document struct {
	raw   []byte // without the byte order mark
	bom   bool
	blank bool // nothing but white space
	root  *hujson.Object
	tree  hujson.Value
}

// Variable is one entry of a settings file's env object.
type Variable struct {
	Name  string
	Value string // as Claude Code sees it: numbers and booleans as text
	Line  int    // 1-based
}

// Parse reads a settings file. The error is a *SyntaxError.
func Parse(raw []byte) (*Document, error) {
	d := &Document{}
	d.raw, d.bom = bytes.CutPrefix(raw, byteOrderMark)
	if len(bytes.TrimSpace(d.raw)) == 0 {
		d.blank = true
		d.root = &hujson.Object{}
		d.tree = hujson.Value{Value: d.root, AfterExtra: hujson.Extra("\n")}
		return d, nil
	}
	if offset := tooDeep(d.raw); offset >= 0 {
		return nil, d.errorAt(offset, fmt.Sprintf("nested more than %d levels deep", maxDepth))
	}
	// The parser's values point into its input, and edits must not reach ours.
	tree, err := hujson.Parse(bytes.Clone(d.raw))
	if err != nil {
		return nil, syntaxError(err)
	}
	d.tree = tree
	if err := d.onlyJSON(&d.tree); err != nil {
		return nil, err
	}
	root, ok := d.tree.Value.(*hujson.Object)
	if !ok {
		return nil, d.errorAt(d.tree.StartOffset, "the top level is not an object")
	}
	d.root = root
	if env := last(root, "env"); env != nil {
		object, ok := env.Value.Value.(*hujson.Object)
		if !ok {
			return nil, d.errorAt(env.Value.StartOffset, `"env" is not an object`)
		}
		for i := range object.Members {
			value := object.Members[i].Value
			switch value.Value.Kind() {
			case '"', '0', 't', 'f':
			default:
				return nil, d.errorAt(value.StartOffset, "a variable in \"env\" is neither text nor a number")
			}
		}
	}
	return d, nil
}

// Variables lists the env object in the order of the file; of a name that
// stands there twice only the last counts, as in JavaScript.
func (d *Document) Variables() []Variable {
	env := d.env()
	if env == nil {
		return nil
	}
	var found []Variable
	for i := range env.Members {
		name := literal(env.Members[i].Name)
		v := Variable{name, literal(env.Members[i].Value), d.line(env.Members[i].Name.StartOffset)}
		if at := slices.IndexFunc(found, func(f Variable) bool { return f.Name == name }); at >= 0 {
			found[at] = v
			continue
		}
		found = append(found, v)
	}
	return found
}

// Variable returns one entry of the env object.
func (d *Document) Variable(name string) (Variable, bool) {
	env := d.env()
	if env == nil {
		return Variable{}, false
	}
	m := last(env, name)
	if m == nil {
		return Variable{}, false
	}
	return Variable{name, literal(m.Value), d.line(m.Name.StartOffset)}, true
}

// A name that begins with topLevel is a setting beside env, not a variable in it.
const topLevel = "/"

// member finds an owned name: a variable, or a setting of the top level.
func (d *Document) member(name string) *hujson.ObjectMember {
	if setting, ok := strings.CutPrefix(name, topLevel); ok {
		return last(d.root, setting)
	}
	if env := d.env(); env != nil {
		return last(env, name)
	}
	return nil
}

// value returns what an owned name is set to, nil when it is not in the file.
func (d *Document) value(name string) *string {
	if strings.HasPrefix(name, topLevel) {
		raw, ok := d.rawVariable(name)
		if !ok {
			return nil
		}
		text := string(raw)
		if l := hujson.Literal(raw); l.Kind() == '"' {
			text = l.String()
		}
		return &text
	}
	if v, ok := d.Variable(name); ok {
		return &v.Value
	}
	return nil
}

// Text returns a top-level setting that is a string, and its line.
func (d *Document) Text(name string) (Variable, bool) {
	m := last(d.root, name)
	if m == nil || m.Value.Value.Kind() != '"' {
		return Variable{}, false
	}
	return Variable{name, literal(m.Value), d.line(m.Name.StartOffset)}, true
}

// rawVariable returns an owned name's value as it stands in the file.
func (d *Document) rawVariable(name string) ([]byte, bool) {
	m := d.member(name)
	if m == nil {
		return nil, false
	}
	if l, ok := m.Value.Value.(hujson.Literal); ok {
		return []byte(l), true
	}
	bare := hujson.Value{Value: m.Value.Value}
	return bare.Pack(), true
}

// set gives an owned name a value, in place or at the end.
func (d *Document) set(name string, raw []byte) {
	if m := d.member(name); m != nil {
		m.Value.Value = hujson.Literal(raw)
		return
	}
	if setting, ok := strings.CutPrefix(name, topLevel); ok {
		d.add(d.root, setting, hujson.Literal(raw), 0)
		return
	}
	env := d.env()
	if env == nil {
		env = &hujson.Object{}
		d.add(d.root, "env", env, 0)
	}
	d.add(env, name, hujson.Literal(raw), 1)
}

// unset removes an owned name.
func (d *Document) unset(name string) {
	if setting, ok := strings.CutPrefix(name, topLevel); ok {
		remove(d.root, setting)
		return
	}
	if env := d.env(); env != nil {
		remove(env, name)
	}
}

// dropEmptyEnv removes the env object when nothing is left in it.
func (d *Document) dropEmptyEnv() {
	if env := d.env(); env != nil && len(env.Members) == 0 {
		remove(d.root, "env")
	}
}

func (d *Document) empty() bool { return len(d.root.Members) == 0 }

// bytes returns the file: the same bytes as were read, but for what was edited.
func (d *Document) bytes() []byte {
	packed := d.tree.Pack()
	if d.bom {
		return append(bytes.Clone(byteOrderMark), packed...)
	}
	return packed
}

func (d *Document) env() *hujson.Object {
	if m := last(d.root, "env"); m != nil {
		return m.Value.Value.(*hujson.Object)
	}
	return nil
}

// add appends a member, laid out as its neighbours are. depth is the object's own, 0 at the top.
func (d *Document) add(object *hujson.Object, name string, value hujson.ValueTrimmed, depth int) {
	member := hujson.ObjectMember{
		Name:  hujson.Value{Value: hujson.String(name)},
		Value: hujson.Value{Value: value},
	}
	lineEnd, unit := d.layout()
	if n := len(object.Members); n > 0 {
		neighbour := object.Members[n-1]
		member.Name.BeforeExtra = neighbour.Name.BeforeExtra
		if n == 1 && lineEnd == "" && len(object.Members[0].Name.BeforeExtra) == 0 && len(neighbour.Value.BeforeExtra) > 0 {
			member.Name.BeforeExtra = hujson.Extra(" ") // {"a": 1} has no second member to learn from
		}
		member.Value.BeforeExtra = neighbour.Value.BeforeExtra
	} else {
		if lineEnd != "" {
			member.Name.BeforeExtra = hujson.Extra(lineEnd + strings.Repeat(unit, depth+1))
			object.AfterExtra = hujson.Extra(lineEnd + strings.Repeat(unit, depth))
		}
		member.Value.BeforeExtra = hujson.Extra(" ")
		if len(d.root.Members) > 0 {
			member.Value.BeforeExtra = d.root.Members[0].Value.BeforeExtra
		}
	}
	object.Members = append(object.Members, member)
}

// layout tells how the file breaks and indents its lines; no line end for a file in one line.
func (d *Document) layout() (lineEnd, unit string) {
	if len(d.root.Members) == 0 {
		if bytes.Contains(d.raw, []byte("\r\n")) {
			return "\r\n", "  "
		}
		return "\n", "  "
	}
	before := string(d.root.Members[0].Name.BeforeExtra)
	at := strings.LastIndexByte(before, '\n')
	if at < 0 {
		return "", ""
	}
	if at > 0 && before[at-1] == '\r' {
		return "\r\n", before[at+1:]
	}
	return "\n", before[at+1:]
}

// onlyJSON refuses comments and trailing commas, which the parser accepts and Claude Code does not.
func (d *Document) onlyJSON(value *hujson.Value) error {
	offset := -1
	note := func(at int, extra hujson.Extra) {
		if i := bytes.IndexByte(extra, '/'); i >= 0 && (offset < 0 || at+i < offset) {
			offset = at + i
		}
	}
	trailing := -1
	for v := range value.All() {
		note(v.StartOffset-len(v.BeforeExtra), v.BeforeExtra)
		note(v.EndOffset, v.AfterExtra)
		var inside hujson.Extra
		var lastValue *hujson.Value
		switch c := v.Value.(type) {
		case *hujson.Object:
			inside = c.AfterExtra
			if n := len(c.Members); n > 0 {
				lastValue = &c.Members[n-1].Value
			}
		case *hujson.Array:
			inside = c.AfterExtra
			if n := len(c.Elements); n > 0 {
				lastValue = &c.Elements[n-1]
			}
		default:
			continue
		}
		note(v.EndOffset-1-len(inside), inside)
		if lastValue != nil && lastValue.AfterExtra != nil {
			if at := lastValue.EndOffset + len(lastValue.AfterExtra); trailing < 0 || at < trailing {
				trailing = at
			}
		}
	}
	switch {
	case offset >= 0 && (trailing < 0 || offset < trailing):
		return d.errorAt(offset, "a comment, so Claude Code skips the whole file")
	case trailing >= 0:
		return d.errorAt(trailing, "a trailing comma, so Claude Code skips the whole file")
	}
	return nil
}

func (d *Document) line(offset int) int {
	return 1 + bytes.Count(d.raw[:min(offset, len(d.raw))], []byte("\n"))
}

func (d *Document) errorAt(offset int, reason string) *SyntaxError {
	before := d.raw[:min(offset, len(d.raw))]
	return &SyntaxError{
		Line:   1 + bytes.Count(before, []byte("\n")),
		Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Reason: reason,
	}
}

var parserMessage = regexp.MustCompile(`(?s)line (\d+), column (\d+): (.*)$`)

// syntaxError keeps the position of a parser's message and drops what it quotes.
func syntaxError(err error) error {
	m := parserMessage.FindStringSubmatch(err.Error())
	if m == nil {
		return &SyntaxError{1, 1, "not JSON"}
	}
	line, _ := strconv.Atoi(m[1])
	column, _ := strconv.Atoi(m[2])
	reason := m[3]
	switch {
	case strings.HasPrefix(reason, "invalid literal"):
		reason = "not a JSON value"
	case strings.Contains(reason, "unexpected EOF"):
		reason = "the file ends in the middle"
	}
	return &SyntaxError{line, column, reason}
}

// tooDeep returns the offset of the first bracket beyond maxDepth, or -1.
func tooDeep(raw []byte) int {
	depth, inString, escaped := 0, false, false
	for i, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

func last(object *hujson.Object, name string) *hujson.ObjectMember {
	for i := len(object.Members) - 1; i >= 0; i-- {
		if literal(object.Members[i].Name) == name {
			return &object.Members[i]
		}
	}
	return nil
}

func remove(object *hujson.Object, name string) {
	for i := len(object.Members) - 1; i >= 0; i-- {
		if literal(object.Members[i].Name) == name {
			object.Members = slices.Delete(object.Members, i, i+1)
			// White space between a last value and its comma would be taken for a trailing comma.
			if n := len(object.Members); n > 0 && object.Members[n-1].Value.AfterExtra != nil {
				tail := &object.Members[n-1].Value
				object.AfterExtra = slices.Concat(tail.AfterExtra, object.AfterExtra)
				tail.AfterExtra = nil
			}
			return
		}
	}
}

// literal returns a string's text, or the spelling of a number or a boolean.
func literal(v hujson.Value) string {
	l, ok := v.Value.(hujson.Literal)
	if !ok {
		return ""
	}
	if l.Kind() == '"' {
		return l.String()
	}
	return string(l)
}

func quote(s string) []byte { return []byte(hujson.String(s)) }
