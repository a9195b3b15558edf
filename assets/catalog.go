package assets

import (
	_ "embed"
	"encoding/json"
	"sync"
)

// Suggestion is a model that Claude Code can work with: it calls tools.
type Suggestion struct {
	Ref     string `json:"ref"`
	About   string `json:"about"`
	Context int    `json:"context"` // tokens
	Size    int64  `json:"size_bytes"`
}

//go:embed catalog.json
var catalog []byte

// Suggestions are the models of the embedded catalog, the smallest first.
var Suggestions = sync.OnceValue(func() []Suggestion {
	var file struct{ Models []Suggestion }
	if err := json.Unmarshal(catalog, &file); err != nil {
		panic("catalog.json: " + err.Error()) // a test reads it
	}
	return file.Models
})
