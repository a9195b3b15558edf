package state

import (
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// noteWords say what the model got otherwise than it was sent.
var noteWords = map[shape.Note]string{
	shape.ImageUnseen:     "image left out (the model cannot see images)",
	shape.ImageLeftOut:    "image left out (it could not be passed on)",
	shape.DocumentLeftOut: "document left out (it is not text)",
	shape.MediaLeftOut:    "audio or video left out",
	shape.BlockLeftOut:    "content left out (only Anthropic's servers know it)",
	shape.ControlWords:    "control words broken up",
	shape.SchemaLoosened:  "tool schemas loosened",
	shape.ServerTool:      "tool left out (it runs on Anthropic's servers)",
	shape.FormatAsked:     "answer format requested in words",
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
