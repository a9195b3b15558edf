package document

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Plain returns a JSON document without the escapes that JSON does not need, and with
// U+FFFD for each half of a character and each byte that is no UTF-8: engines refuse a
// request that holds one. A text then stands in the document as it reads. What needs
// nothing of this, all that Claude Code usually writes, is not copied.
func Plain(body []byte) []byte {
	if utf8.Valid(body) && !escaped(body) {
		return body
	}
	out := make([]byte, 0, len(body)+len(body)/64)
	for len(body) > 0 {
		c := body[0]
		switch {
		case c == '\\':
			out, body = unescaped(out, body)
		case c < utf8.RuneSelf:
			out, body = append(out, c), body[1:]
		default:
			r, size := utf8.DecodeRune(body)
			out, body = utf8.AppendRune(out, r), body[size:]
		}
	}
	return out
}

// escaped reports whether a document may hold an escape that is not needed. Control
// characters are: the colours of a terminal stand in many a tool's result. A slash matters
// in a tag only.
func escaped(body []byte) bool {
	for i := 0; ; i += 2 {
		n := bytes.IndexByte(body[i:], '\\')
		if n < 0 || i+n+2 > len(body) {
			return false
		}
		i += n
		switch body[i+1] {
		case 'u':
			if hex(body[i:]) >= ' ' {
				return true
			}
		case '/':
			if i > 0 && (body[i-1] == '<' || body[i-1] == '[') {
				return true
			}
		}
	}
}

// hex is the number of the escape \uXXXX that a text begins with; -1 when it is none.
func hex(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range text[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescaped appends what the escape says that a text begins with, and cuts it off.
func unescaped(out, text []byte) (longer, rest []byte) {
	r := hex(text)
	switch {
	case utf16.IsSurrogate(r):
		if whole := utf16.DecodeRune(r, hex(text[6:])); whole != utf8.RuneError {
			return utf8.AppendRune(out, whole), text[12:]
		}
		return utf8.AppendRune(out, utf8.RuneError), text[6:]
	case r >= ' ' && r != '"' && r != '\\':
		return utf8.AppendRune(out, r), text[6:]
	case len(text) > 1 && text[1] == '/':
		return append(out, '/'), text[2:]
	}
	n := 1
	if len(text) > 1 && text[1] < utf8.RuneSelf {
		n = 2 // a backslash after this one begins nothing
	}
	return append(out, text[:n]...), text[n:]
}
