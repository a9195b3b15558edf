//go:build !windows && !darwin

package autostart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestThereAndBack(t *testing.T) {
	p := Place{Config: t.TempDir()}
	state := func(what string, on, byUser bool, program string) {
		t.Helper()
		if s, err := p.Status(); err != nil || s.On != on || s.ByUser != byUser || s.Program != program {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
	state("before", false, false, "")
	for _, program := range []string{"/usr/bin/switchyard", "/opt/with space/100% $HOME \"q\" \\ `x`/switchyard"} {
		if err := p.On(program); err != nil {
			t.Fatal(err)
		}
		state("on", true, false, program)
		if _, err := exec.LookPath("desktop-file-validate"); err == nil {
			if out, err := exec.CommandContext(t.Context(), "desktop-file-validate", p.file()).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		}
	}
	for _, key := range []string{"Hidden=true", "X-GNOME-Autostart-enabled=false"} { // as desktops switch it off
		if err := p.On("/usr/bin/switchyard"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(p.file())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.file(), []byte(strings.Replace(string(data), "X-GNOME-Autostart-enabled=true", key, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		state(key, false, true, "/usr/bin/switchyard")
		if err := p.Follow("/new/switchyard"); err != nil {
			t.Fatal(err)
		}
		state(key+", followed", false, true, "/usr/bin/switchyard")
	}
	if err := p.Off(); err != nil {
		t.Fatal(err)
	}
	state("off", false, false, "")
	if left, _ := os.ReadDir(p.Config); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := p.Follow("/new/switchyard"); err != nil {
		t.Fatal(err)
	}
	state("off, followed", false, false, "")
}

// An update moved the program: the record follows. A program that is there stays.
func TestFollow(t *testing.T) {
	p := Place{Config: t.TempDir()}
	dir := t.TempDir()
	old, moved := filepath.Join(dir, "old"), filepath.Join(dir, "moved")
	for _, file := range []string{old, moved} {
		if err := os.WriteFile(file, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(want string) {
		t.Helper()
		if err := p.Follow(moved); err != nil {
			t.Fatal(err)
		}
		if s, err := p.Status(); err != nil || s.Program != want {
			t.Errorf("%+v, %v, want %s", s, err, want)
		}
	}
	if err := p.On(old); err != nil {
		t.Fatal(err)
	}
	follow(old)
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	follow(moved)
}

func TestStable(t *testing.T) {
	dir := t.TempDir()
	program, link := filepath.Join(dir, "cellar", "switchyard"), filepath.Join(dir, "bin", "switchyard")
	for _, folder := range []string{"cellar", "bin", "other"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{program, filepath.Join(dir, "other", "switchyard")} {
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	if got := Stable(program); got != link {
		t.Errorf("got %s", got)
	}
	t.Setenv("PATH", filepath.Join(dir, "other"))
	if got := Stable(program); got != program {
		t.Errorf("another one on the PATH: got %s", got)
	}
}
