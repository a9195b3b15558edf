//go:build unix

package localclaude

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-app/switchyard/service/machine"
)

func TestWhereClaudeCodeIsFound(t *testing.T) {
	const first, second, own, old = "first/claude", "second/claude", "home/.local/bin/claude", "home/.claude/local/claude"
	for _, tt := range []struct {
		name  string
		files map[string]os.FileMode // with os.ModeDir: a folder
		want  string
	}{
		{"there is none", nil, ""},
		{"the PATH in its order", map[string]os.FileMode{first: 0o755, second: 0o755, own: 0o755, old: 0o755}, first},
		{"the PATH before the installer's places", map[string]os.FileMode{second: 0o755, own: 0o755, old: 0o755}, second},
		{"the installer's place before the old one", map[string]os.FileMode{own: 0o755, old: 0o755}, own},
		{"the old place", map[string]os.FileMode{old: 0o755}, old},
		{"what cannot be run is skipped on the PATH", map[string]os.FileMode{first: 0o644, second: 0o755}, second},
		{"and in the installer's place", map[string]os.FileMode{own: 0o644, old: 0o755}, old},
		{"a folder is not a program", map[string]os.FileMode{first: os.ModeDir | 0o755, own: os.ModeDir | 0o755, old: 0o755}, old},
		{"only what cannot be run", map[string]os.FileMode{first: 0o644, own: 0o644, old: 0o644}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, mode := range tt.files {
				file := filepath.Join(root, name)
				err := os.MkdirAll(filepath.Dir(file), 0o755)
				if mode.IsDir() {
					err = errors.Join(err, os.Mkdir(file, mode.Perm()))
				} else {
					err = errors.Join(err, os.WriteFile(file, []byte("#!/bin/sh\n"), mode))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			m := &machine.Machine{Home: filepath.Join(root, "home"), Environ: []string{"PATH=" + filepath.Join(root, "first") + ":" + filepath.Join(root, "second")}}
			want := tt.want
			if want != "" {
				want = filepath.Join(root, want)
			}
			if got := Program(m); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestWhatClaudeCodeKeepsForItself(t *testing.T) {
	home := t.TempDir()
	mine := filepath.Join(home, "mine")
	write := func(file, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(home, ".claude.json"), `{"hasCompletedOnboarding":true,"mcpServers":{"a":{"command":"x"}},"projects":{"/shop":{"mcpServers":{"b":{"url":"http://b"}}}}}`)
	write(filepath.Join(mine, ".claude.json"), `{`)
	file, known := ReadConfig(&machine.Machine{Home: home})
	if file != filepath.Join(home, ".claude.json") || !known.Onboarded || known.Servers["a"].Command != "x" || known.Projects["/shop"].Servers["b"].URL != "http://b" {
		t.Errorf("%s %+v", file, known)
	}
	file, known = ReadConfig(&machine.Machine{Home: home, Environ: []string{"CLAUDE_CONFIG_DIR=" + mine}})
	if file != filepath.Join(mine, ".claude.json") || known.Onboarded || len(known.Servers) > 0 {
		t.Errorf("a broken one elsewhere: %s %+v", file, known)
	}
}
