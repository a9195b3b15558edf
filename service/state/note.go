package state

import (
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// noteWords say what the model got otherwise than it was sent.
var noteWords = map[shape.Note]string{
	shape.ImageUnseen:     "image left out (the model sees none)",
	shape.ImageLeftOut:    "image left out (nothing is fetched)",
	shape.DocumentLeftOut: "document left out (it is no text)",
	shape.MediaLeftOut:    "sound or film left out",
	shape.BlockLeftOut:    "content of Anthropic's servers left out",
	shape.ControlWords:    "control words broken",
	shape.SchemaLoosened:  "tool schemas loosened",
	shape.ServerTool:      "tool of Anthropic's servers left out",
	shape.FormatAsked:     "the answer's format asked for in words",
}

// NoteText says what of a request the model got otherwise than it was sent.
func NoteText(n shape.Note) string {
	if text := noteWords[n]; text != "" {
		return text
	}
	return strings.ReplaceAll(string(n), "_", " ")
}

// NotesText is the same of all notes of a request.
func NotesText(all []shape.Note) string {
	texts := make([]string, len(all))
	for i, n := range all {
		texts[i] = NoteText(n)
	}
	return strings.Join(slices.Compact(texts), ", ")
}
