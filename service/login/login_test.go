package login

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

func TestTheDesktopsFolderIsBesideSwitchyards(t *testing.T) {
	m := &machine.Machine{Home: "/home/me", Paths: config.Paths{Config: filepath.FromSlash("/etc/xdg/switchyard/config.toml")}}
	if at := Place(m); at.Config != filepath.FromSlash("/etc/xdg") || at.Home != "/home/me" {
		t.Errorf("%+v", at)
	}
}

func TestOnAndOffAgain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the registry is everybody's")
	}
	home := t.TempDir()
	m := &machine.Machine{Home: home, Paths: config.Paths{Config: filepath.Join(home, "config", "switchyard", "config.toml")}}
	for _, on := range []bool{false, true, true, false, false} {
		if err := Set(m, on); err != nil {
			t.Fatal(err)
		}
		if s, err := Status(m); err != nil || s.On != on {
			t.Errorf("%v: %+v %v", on, s, err)
		}
	}
}

func TestAFolderThatCannotBeMadeIsTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the registry has no folder")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine.Machine{Home: file, Paths: config.Paths{Config: filepath.Join(file, "switchyard", "config.toml")}}
	var failed *fault.Error
	if err := Set(m, true); !errors.As(err, &failed) || failed.Kind != fault.Failed || failed.What != what {
		t.Errorf("%v", err)
	}
}
