package shape

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// llama.cpp fetches an image at a URL itself, from the network and with --media-path from
// the disk. Only images that are in the request reach it, and they are written anew.

var imageType = regexp.MustCompile(`^"image/[a-z0-9][a-z0-9.+-]*"$`)

// image adds an image that is in the request, or a note in place of another one.
func (c *conversation) image(says []word, m []document.Member) []word {
	if c.needs.Blind {
		c.said.add(ImageUnseen)
		return append(says, plainly("[an image was here; this model sees none]")...)
	}
	source := read(document.Find(m, "source")).members
	media := document.Find(source, "media_type")
	data := encoded(document.Find(source, "data"))
	if document.Field(source, "type") != "base64" || !imageType.Match(media) || data == nil {
		return c.noImage(says, m)
	}
	return append(says, word{text: data, media: media})
}

// encoded is a JSON string in base64, without white space; nil when it is none.
func encoded(quoted jsontext.Value) jsontext.Value {
	if bytes.IndexByte(quoted, '\\') >= 0 {
		quoted = document.Quote(strings.Join(strings.Fields(document.Text(quoted)), ""))
	}
	if quoted.Kind() != '"' || len(quoted) < len(`"abcd"`) || len(quoted)%4 != len(`""`) {
		return nil
	}
	for i, b := range quoted[1 : len(quoted)-1] {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '+', b == '/':
		case b == '=' && (i == len(quoted)-3 || i == len(quoted)-4 && quoted[len(quoted)-2] == '='):
		default:
			return nil
		}
	}
	return quoted
}

// noImage adds a note in place of an image that is not in the request, or is none.
func (c *conversation) noImage(says []word, m []document.Member) []word {
	c.said.add(ImageLeftOut)
	return append(says, plainly("[an image"+missing(m)+". Tell the user, or read it from a file with a tool]")...)
}

// unseen puts notes in place of images where no template takes one.
func (c *conversation) unseen(says []word) []word {
	for i := range says {
		if says[i].seen() {
			c.said.add(ImageLeftOut)
			says[i] = plainly("[an image was here, where a model sees none]")[0]
		}
	}
	return says
}

// missing says where something was, and why it is not there.
func missing(m []document.Member) string {
	source := read(document.Find(m, "source")).members
	address := document.Field(source, "url")
	for _, name := range []string{"image_url", "file", "url"} { // as OpenAI's clients write it
		v := document.Find(m, name)
		if said := document.Text(v) + document.Field(read(v).members, "url"); address == "" {
			address = said
		}
	}
	const longest = 300 // of an address that still says something
	switch {
	case document.Field(source, "type") == "file":
		return " was here that only Anthropic's servers have"
	case address == "" || strings.HasPrefix(address, "data:"):
		return " was here that a local model cannot read"
	case len(address) > longest:
		return " was here; nothing is fetched for a local model"
	}
	return fmt.Sprintf(" at %q was here; nothing is fetched for a local model", address)
}

// document adds a document: its text, or a note in place of what is none.
func (c *conversation) document(says []word, m []document.Member) []word {
	source := read(document.Find(m, "source")).members
	var inside []word
	known := true
	switch data := document.Find(source, "data"); document.Field(source, "type") {
	case "text":
		inside = c.bare(nil, data)
	case "content":
		inside = c.contents(nil, document.Find(source, "content"))
	case "base64":
		var text string
		if text, known = decoded(source, data); known {
			bare, found := broken([]byte(text), byFirst(c.needs.Markers))
			if found {
				c.said.add(ControlWords)
			}
			inside = plainly(string(bare))
		}
	default:
		known = false
	}
	if !known {
		c.said.add(DocumentLeftOut)
		what := "a document"
		if document.Field(source, "media_type") == "application/pdf" {
			what = "a PDF"
		}
		return append(says, plainly("["+heading(what, m, "title")+missing(m)+". Tell the user, and get its text with a tool, as pdftotext, or ask for it]")...)
	}
	says = append(says, plainly("["+heading("document", m, "title")+"]")...)
	says = c.bare(says, document.Find(m, "context"))
	return append(append(says, inside...), plainly("[end of the document]")...)
}

// decoded is a text that was sent in base64.
func decoded(source []document.Member, data jsontext.Value) (text string, ok bool) {
	if !strings.HasPrefix(document.Field(source, "media_type"), "text/") {
		return "", false
	}
	said, err := base64.StdEncoding.DecodeString(document.Text(data))
	return string(said), err == nil && utf8.Valid(said)
}
