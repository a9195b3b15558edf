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

func TestEveryTemplateAsksForItsCalls(t *testing.T) {
	for _, name := range Templates() {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := WriteFile(path, Model{Template: name}); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range UsualCalls() {
			if name != "gemma" && !strings.Contains(keys[KeyTemplate], "'"+c.When+"' in lab_last") {
				t.Errorf("%s: no word of %q", name, c.When)
			}
		}
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "m.gguf"), Model{Template: "none"}); err == nil {
		t.Error("a template that is not there is taken")
	}
}
