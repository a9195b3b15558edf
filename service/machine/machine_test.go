package machine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
)

// scratch is a machine with this configuration and environment.
func scratch(t *testing.T, text string, environ ...string) *Machine {
	t.Helper()
	home := t.TempDir()
	paths := config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")}
	write(t, paths.Config, text)
	m, err := Open(paths, home, environ)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestOfAVariableSetTwiceTheLastCounts(t *testing.T) {
	m := &Machine{Environ: []string{"A=1", "AB=x", "A=2", "N=7", "M=x"}}
	for name, want := range map[string]string{"A": "2", "AB": "x", "B": "", "": ""} {
		if got := m.Getenv(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if m.EnvNumber("N") != 7 || m.EnvNumber("M") != 0 || m.EnvNumber("none") != 0 {
		t.Error("numbers")
	}
}

func TestWhatAPlainSwitchMoves(t *testing.T) {
	m := scratch(t, "targets = [\"~/second\", \"~/.claude\", \"~/second\"]\n")
	want := []string{filepath.Join(m.Home, ".claude"), filepath.Join(m.Home, "second")}
	if got := m.ConfigDirs(); !slices.Equal(got, want) || len(m.Targets()) != len(want) {
		t.Errorf("%v of %v", got, m.Targets())
	}
	m = scratch(t, "targets = [\"~/second\"]\n", "CLAUDE_CONFIG_DIR=~/mine")
	want = []string{filepath.Join(m.Home, "mine"), filepath.Join(m.Home, "second")}
	if got := m.ConfigDirs(); !slices.Equal(got, want) {
		t.Errorf("with CLAUDE_CONFIG_DIR %v", got)
	}
	if got := m.ProjectTarget("~/shop"); got.File != filepath.Join(m.Home, "shop", ".claude", "settings.local.json") || got.ConfigDir != want[0] {
		t.Errorf("a project's %+v", got)
	}
}

func TestWhoForbidsTheCloud(t *testing.T) {
	m := scratch(t, "")
	project := filepath.Join(m.Home, "work", "shop")
	deep := filepath.Join(project, "src", "deep")
	at := func(dir string) string { return filepath.Join(dir, config.ProjectFile) }
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if lock, locked := m.Locked(deep); locked {
		t.Errorf("nobody did: %+v", lock)
	}
	write(t, at(filepath.Join(m.Home, "work")), "route = \"local-only\"\n")
	if lock, locked := m.Locked(deep); !locked || lock.Where() != at(filepath.Join(m.Home, "work"))+":1" {
		t.Errorf("a folder far above: %+v", lock)
	}
	write(t, at(project), "# as you like\n")
	if lock, locked := m.Locked(deep); locked {
		t.Errorf("a nearer one allows it: %+v", lock)
	}
	write(t, at(deep), "route = \n")
	if lock, locked := m.Locked(deep); !locked || lock.File != at(deep) {
		t.Errorf("the nearest cannot be read: %+v", lock)
	}
	if err := errors.Join(os.Remove(at(deep)), os.Mkdir(at(deep), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, locked := m.Locked(deep); !locked {
		t.Error("the nearest is not a file")
	}
	if _, locked := m.Locked(""); locked {
		t.Error("no folder in particular")
	}
	m = scratch(t, "# all of us\ncloud = \"never\"\n")
	for _, folder := range []string{"", deep} {
		if lock, locked := m.Locked(folder); !locked || lock.Where() != m.Paths.Config+":2" {
			t.Errorf("the configuration, in %q: %+v", folder, lock)
		}
	}
}

func TestTheModelOfTheNextSwitch(t *testing.T) {
	m := scratch(t, "")
	if got := m.Chosen(); got != "" {
		t.Errorf("%q", got)
	}
	if err := m.Choose("docker.io/ai/tiny:latest"); err != nil {
		t.Fatal(err)
	}
	if got := m.Chosen(); got != "docker.io/ai/tiny:latest" {
		t.Errorf("%q", got)
	}
	if m.Config.Model = "ai/mine"; m.Chosen() != "ai/mine" {
		t.Error("the configuration does not overrule it")
	}
}

func TestTheConfigurationOverrulesTheMenu(t *testing.T) {
	m := scratch(t, "")
	if m.Lean() || m.Quiet() || !m.MayStart() {
		t.Error("what nobody said")
	}
	if err := errors.Join(m.SetLean(true), m.Mark(m.Paths.Quiet(), true)); err != nil || !m.Lean() || !m.Quiet() {
		t.Errorf("the menu said it: %v", err)
	}
	if err := errors.Join(m.SetLean(false), m.SetLean(false)); err != nil || m.Lean() {
		t.Errorf("taken back twice: %v", err)
	}
	no, yes := false, true
	m.Config.Lean, m.Config.Notifications, m.Config.StartRunner = &yes, &yes, &no
	if !m.Lean() || m.Quiet() || m.MayStart() {
		t.Error("the configuration says otherwise")
	}
	var refused *fault.Error
	if err := m.SetLean(false); !errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Remedy, m.Paths.Config) {
		t.Errorf("%v", err)
	}
	if err := m.SetLean(true); err != nil {
		t.Errorf("the same as the configuration: %v", err)
	}
}

func TestThatAPersonStoppedTheRunnerIsRemembered(t *testing.T) {
	m := scratch(t, "")
	for _, stopped := range []bool{true, true, false, false} {
		m.RememberStop(stopped)
		if m.StoppedByPerson() != stopped {
			t.Errorf("not %v", stopped)
		}
	}
}

func TestNothingIsPulledInTheOfflineRoute(t *testing.T) {
	m := scratch(t, "targets = [\"~/second\"]\n")
	if err := m.MayPull("ai/x"); err != nil {
		t.Fatal(err)
	}
	second := m.Targets()[1]
	if err := os.MkdirAll(second.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	to := claude.Destination{BaseURL: "http://127.0.0.1:9", Token: DummyToken, Model: "ai/x", Context: 65536, Way: claude.Direct}
	if _, err := m.Ledger.Switch(t.Context(), second, claude.Offline, to, nil); err != nil {
		t.Fatal(err)
	}
	var refused *fault.Error
	if err := m.MayPull("ai/x"); !errors.As(err, &refused) || refused.Kind != fault.Refused || refused.What != "pulling ai/x" {
		t.Errorf("%v", err)
	}
}

func TestExplainNamesWhoForbidsTheCloud(t *testing.T) {
	m := scratch(t, "")
	shop := filepath.Join(m.Home, "shop")
	write(t, filepath.Join(shop, config.ProjectFile), "route = \"local-only\"\n")
	locks := func(m *Machine, folder string) (found []claude.Setting) {
		all, _ := m.Explain(folder)
		return slices.DeleteFunc(all, func(s claude.Setting) bool { return s.Name != "switchyard" })
	}
	if got := locks(m, shop); len(got) != 1 || got[0].Layer != claude.Project || got[0].Line != 1 {
		t.Errorf("%+v", got)
	}
	if got := locks(m, m.Home); len(got) != 0 {
		t.Errorf("elsewhere %+v", got)
	}
	if got := locks(scratch(t, "cloud = \"never\"\n"), shop); len(got) != 1 || got[0].Layer != claude.User {
		t.Errorf("by the configuration %+v", got)
	}
}

func TestAddressesAndPathsAsTheyAreShown(t *testing.T) {
	if got := PlainURL("https://me:secret@box/v1"); strings.Contains(got, "secret") || !strings.Contains(got, "box/v1") {
		t.Error(got)
	}
	m := scratch(t, "")
	if got := m.Tilde("see " + filepath.Join(m.Home, "x")); got != "see ~"+string(filepath.Separator)+"x" {
		t.Error(got)
	}
	if m.Path("") != "" || m.Path("~/x") != filepath.Join(m.Home, "x") {
		t.Error("paths")
	}
	if m.Paths.Usual.Gateway = 5; m.GatewayPort() != 5 {
		t.Error("the usual port")
	}
	if m.Config.GatewayPort = 6; m.GatewayPort() != 6 {
		t.Error("the configured port")
	}
}
