package state

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// Whatever the gateway notes of a request has words for whoever reads "requests".
func TestEveryNoteHasWords(t *testing.T) {
	files, err := filepath.Glob("../gateway/shape/*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) == 0 {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Note" {
				return true
			}
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if seen++; err != nil || noteWords[shape.Note(text)] == "" {
				t.Errorf("%s has no words", text)
			}
			return true
		})
	}
	if seen != len(noteWords) {
		t.Errorf("%d notes, words for %d", seen, len(noteWords))
	}
}

func TestNotesInALine(t *testing.T) {
	for _, tt := range []struct {
		notes []shape.Note
		want  string
	}{
		{nil, ""},
		{[]shape.Note{shape.ImageUnseen}, "image left out (the model cannot see images)"},
		{[]shape.Note{"brand_new", shape.ImageUnseen}, "brand new, image left out (the model cannot see images)"},
	} {
		if got := NotesText(tt.notes); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
