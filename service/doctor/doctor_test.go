//go:build unix

package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// The doctor looks for Claude Code where "switchyard run" does.
func TestWhereTheDoctorFindsClaudeCode(t *testing.T) {
	for _, tt := range []struct {
		place, script string
		want          string
	}{
		{"", "", "claude_missing"},
		{".local/bin", "echo 2.1.330", ""},
		{".claude/local", "echo 2.1.330", ""},
		{".local/bin", "echo 2.1.9", "claude_old"},
		{".local/bin", "exit 1", "claude_broken"},
	} {
		m := &machine.Machine{Home: t.TempDir(), Environ: []string{"PATH=/nowhere"}}
		if tt.place != "" {
			dir := filepath.Join(m.Home, tt.place)
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "claude"), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700)); err != nil {
				t.Fatal(err)
			}
		}
		d := &doctor{machine: m}
		d.claude(t.Context())
		got := ""
		for _, f := range d.findings {
			got += f.Code
		}
		if got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.place, tt.script, got, tt.want)
		}
	}
}

// Who holds variables at "" after a switch to the cloud is named.
func TestWhoHoldsVariablesEmpty(t *testing.T) {
	m := &machine.Machine{Home: "/home/me"}
	for _, tt := range []struct {
		target state.Target
		want   string
	}{
		{state.Target{}, ""},
		{state.Target{Waiting: 1, Holders: []state.Holder{{PID: 7, Folder: "/home/me/shop"}}}, ""},
		{state.Target{File: "/home/me/.claude/settings.json", Waiting: 1, Holders: []state.Holder{{PID: 7, Folder: "/home/me/shop"}}, Empty: []string{"ANTHROPIC_BASE_URL"}},
			`~/.claude/settings.json: ANTHROPIC_BASE_URL kept at "" until 1 session ends (process 7 in ~/shop), so the values that a shell or another launcher sets have no effect`},
	} {
		d := &doctor{machine: m}
		d.emptied([]state.Target{tt.target})
		got := ""
		for _, f := range d.findings {
			got += f.Text
		}
		if got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}
