package claude

import (
	"bytes"
	"strings"

	"github.com/tailscale/hujson"
)

// add appends a member, laid out as its neighbours are. depth is the object's own, 0 at the top.
func (d *document) add(object *hujson.Object, name string, value hujson.ValueTrimmed, depth int) {
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
func (d *document) layout() (lineEnd, unit string) {
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
