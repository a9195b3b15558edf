package claude

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// maxDepth bounds the nesting that is edited: the parser recurses.
const maxDepth = 10_000

// syntaxError says why a settings file cannot be edited safely. It quotes
// nothing of the file, which may hold secrets.
type syntaxError struct {
	Line, Column int // 1-based; the column counts bytes
	Reason       string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// onlyJSON refuses comments and trailing commas, which the parser accepts and Claude Code does not.
func (d *document) onlyJSON(value *hujson.Value) error {
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
		return d.errorAt(offset, "a comment, which JSON does not allow")
	case trailing >= 0:
		return d.errorAt(trailing, "a trailing comma, which JSON does not allow")
	}
	return nil
}

func (d *document) line(offset int) int {
	return 1 + bytes.Count(d.raw[:min(offset, len(d.raw))], []byte("\n"))
}

func (d *document) errorAt(offset int, reason string) *syntaxError {
	before := d.raw[:min(offset, len(d.raw))]
	return &syntaxError{
		Line:   1 + bytes.Count(before, []byte("\n")),
		Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Reason: reason,
	}
}

var parserMessage = regexp.MustCompile(`(?s)line (\d+), column (\d+): (.*)$`)

// fromParser keeps the position of a parser's message and drops what it quotes.
func fromParser(err error) error {
	m := parserMessage.FindStringSubmatch(err.Error())
	if m == nil {
		return &syntaxError{1, 1, "not JSON"}
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
	return &syntaxError{line, column, reason}
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
