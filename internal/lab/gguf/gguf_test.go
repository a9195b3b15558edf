package gguf

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := WriteFile(path, Model{Name: "n", Context: 4096, Strict: true, Behaviour: "oom"}); err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if keys[KeyName] != "n" || keys[KeyContext] != "4096" || keys[KeyBehaviour] != "oom" || !strings.Contains(keys[KeyTemplate], "raise_exception") {
		t.Errorf("%v", keys)
	}
}
