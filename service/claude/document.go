package claude

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// document is a settings file in memory. Claude Code skips a file whole when it
// is not strict JSON of the right types, so such a file is not edited either.
type document struct {
	raw   []byte // without the byte order mark
	bom   bool
	blank bool // nothing but white space
	root  *hujson.Object
	tree  hujson.Value
}

// variable is one entry of a settings file's env object.
type variable struct {
	Name  string
	Value string // as Claude Code sees it: numbers and booleans as text
	Line  int    // 1-based
}

// parse reads a settings file. The error is a *syntaxError.
func parse(raw []byte) (*document, error) {
	d := &document{}
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
		return nil, fromParser(err)
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

// variables lists the env object in the order of the file; of a name that
// stands there twice only the last counts, as in JavaScript.
func (d *document) variables() []variable {
	env := d.env()
	if env == nil {
		return nil
	}
	var found []variable
	for i := range env.Members {
		name := literal(env.Members[i].Name)
		v := variable{name, literal(env.Members[i].Value), d.line(env.Members[i].Name.StartOffset)}
		if at := slices.IndexFunc(found, func(f variable) bool { return f.Name == name }); at >= 0 {
			found[at] = v
			continue
		}
		found = append(found, v)
	}
	return found
}

// variable returns one entry of the env object.
func (d *document) variable(name string) (variable, bool) {
	env := d.env()
	if env == nil {
		return variable{}, false
	}
	m := last(env, name)
	if m == nil {
		return variable{}, false
	}
	return variable{name, literal(m.Value), d.line(m.Name.StartOffset)}, true
}

// topLevel begins the name of a setting beside env; other names are variables in it.
const topLevel = "/"

// member finds an owned name: a variable, or a setting of the top level.
func (d *document) member(name string) *hujson.ObjectMember {
	if setting, ok := strings.CutPrefix(name, topLevel); ok {
		return last(d.root, setting)
	}
	if env := d.env(); env != nil {
		return last(env, name)
	}
	return nil
}

// value returns what an owned name is set to, nil when it is not in the file.
func (d *document) value(name string) *string {
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
	if v, ok := d.variable(name); ok {
		return &v.Value
	}
	return nil
}

// text returns a top-level setting that is a string, and its line.
func (d *document) text(name string) (variable, bool) {
	m := last(d.root, name)
	if m == nil || m.Value.Value.Kind() != '"' {
		return variable{}, false
	}
	return variable{name, literal(m.Value), d.line(m.Name.StartOffset)}, true
}

// setting returns a top-level setting as people write it, and its line.
func (d *document) setting(name string) (variable, bool) {
	m, value := last(d.root, name), d.value(topLevel+name)
	if m == nil || value == nil {
		return variable{}, false
	}
	return variable{name, *value, d.line(m.Name.StartOffset)}, true
}

// rawVariable returns an owned name's value as it stands in the file.
func (d *document) rawVariable(name string) ([]byte, bool) {
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
func (d *document) set(name string, raw []byte) {
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
func (d *document) unset(name string) {
	if setting, ok := strings.CutPrefix(name, topLevel); ok {
		remove(d.root, setting)
		return
	}
	if env := d.env(); env != nil {
		remove(env, name)
	}
}

// dropEmptyEnv removes the env object when nothing is left in it.
func (d *document) dropEmptyEnv() {
	if env := d.env(); env != nil && len(env.Members) == 0 {
		remove(d.root, "env")
	}
}

func (d *document) empty() bool { return len(d.root.Members) == 0 }

// bytes returns the file: the same bytes as were read, but for what was edited.
func (d *document) bytes() []byte {
	packed := d.tree.Pack()
	if d.bom {
		return append(bytes.Clone(byteOrderMark), packed...)
	}
	return packed
}

func (d *document) env() *hujson.Object {
	if m := last(d.root, "env"); m != nil {
		return m.Value.Value.(*hujson.Object)
	}
	return nil
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
