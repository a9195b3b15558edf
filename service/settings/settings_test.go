package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

func codes(all []state.Warning) string {
	var codes []string
	for _, w := range all {
		codes = append(codes, w.Code)
	}
	return strings.Join(codes, " ")
}

func TestWhatIsOddAboutOneTarget(t *testing.T) {
	pin := func(value string) *claude.Place {
		return &claude.Place{File: "/c/settings.json", Line: 3, Value: value}
	}
	for _, tt := range []struct {
		name   string
		status claude.Status
		code   string
		text   string
	}{
		{"nothing", claude.Status{Route: claude.Cloud}, "", ""},
		{"it cannot be read", claude.Status{Broken: &claude.Refusal{File: "/c/settings.json", Line: 2, Why: "a comma is missing", Remedy: "correct it"}}, "settings_broken", "/c/settings.json:2: a comma is missing, so Claude Code ignores the file"},
		{"changed by another program", claude.Status{Route: claude.Local, Drift: []string{"API_TIMEOUT_MS"}}, "drift", "/c/settings.json: changed after the switch: API_TIMEOUT_MS"},
		{"another model than the switch's", claude.Status{Route: claude.Local, Model: "ai/x", Pinned: pin("ai/y")}, "model_pinned", `/c/settings.json:3: "model" names ai/y`},
		{"the switch's own model", claude.Status{Route: claude.Local, Model: "ai/x", Pinned: pin("ai/x")}, "", ""},
		{"a model here, in the cloud", claude.Status{Route: claude.Cloud, Pinned: pin("ai/y")}, "model_local", `/c/settings.json:3: "model" names ai/y`},
		{"the cloud's model, in the cloud", claude.Status{Route: claude.Cloud, Pinned: pin("claude-opus-4-6")}, "", ""},
		{"the cloud's model by another's name", claude.Status{Route: claude.Cloud, Pinned: pin("claude-opus/4")}, "", ""},
		{"a name that is not known, in the cloud", claude.Status{Route: claude.Cloud, Pinned: pin("mine")}, "", ""},
		{"all at once", claude.Status{Route: claude.Local, Drift: []string{"A", "B"}, Pinned: pin("ai/y")}, "drift model_pinned", "A, B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := warnings(claude.UserTarget("/c"), tt.status)
			if codes(got) != tt.code {
				t.Fatalf("%+v", got)
			}
			if len(got) > 0 && (!strings.Contains(filepath.ToSlash(got[0].Text), tt.text) || got[0].Remedy == "") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// scratch is a machine with nothing on it.
func scratch(t *testing.T, environ ...string) *machine.Machine {
	t.Helper()
	home := t.TempDir()
	m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")}, home, environ)
	if err != nil {
		t.Fatal(err)
	}
	m.Config.ManagedSettings = filepath.Join(home, "managed")
	return m
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func switchLocal(t *testing.T, m *machine.Machine, to claude.Target) {
	t.Helper()
	if err := os.MkdirAll(to.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	where := claude.Destination{BaseURL: "http://127.0.0.1:9/anthropic", Token: machine.DummyToken, Model: "ai/x", Context: 65536, Way: claude.Direct}
	if _, err := m.Ledger.Switch(t.Context(), to, claude.Local, where, nil); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsWrongOnAFreshMachine(t *testing.T) {
	f := Read(t.Context(), scratch(t))
	if len(f.Warnings) > 0 || len(f.Targets) != 1 || f.Targets[0].Route != claude.Cloud || f.BaseURL != "" {
		t.Errorf("%+v", f)
	}
	if f := Read(t.Context(), scratch(t, "ANTHROPIC_BASE_URL=https://box")); f.BaseURL != "https://box" {
		t.Errorf("what the shell sets: %+v", f)
	}
}

func TestASwitchedTargetIsRead(t *testing.T) {
	m := scratch(t)
	switchLocal(t, m, m.Targets()[0])
	f := Read(t.Context(), m)
	if len(f.Warnings) > 0 || f.Targets[0].Route != claude.Local || f.Targets[0].Model != "ai/x" || f.BaseURL != "http://127.0.0.1:9/anthropic" || f.Context != 65536 {
		t.Errorf("%+v", f)
	}
}

func TestASwitchedTargetThatNobodyNamedIsTold(t *testing.T) {
	m := scratch(t)
	other, project := m.FolderTarget("~/other"), m.ProjectTarget("~/shop")
	switchLocal(t, m, other)
	switchLocal(t, m, project)
	f := Read(t.Context(), m)
	if codes(f.Warnings) != "other_target other_target" || len(f.Targets) != 3 {
		t.Fatalf("%+v", f.Warnings)
	}
	var remedies string
	for _, w := range f.Warnings {
		remedies += w.Remedy + "\n"
	}
	for _, want := range []string{"switchyard cloud --target " + other.Dir + "\n", "switchyard cloud --project " + project.Project + "\n"} {
		if !strings.Contains(remedies, want) {
			t.Errorf("%s lacks %s", remedies, want)
		}
	}
	m.Config.Targets = []string{"~/other"}
	if f := Read(t.Context(), m); codes(f.Warnings) != "other_target" {
		t.Errorf("the configuration names one: %+v", f.Warnings)
	}
}

func TestWarningsNameFilesUnderTheHomeFolderShort(t *testing.T) {
	m := scratch(t)
	write(t, m.Targets()[0].File, "{")
	f := Read(t.Context(), m)
	if codes(f.Warnings) != "settings_broken" || !strings.HasPrefix(f.Warnings[0].Text, "~"+string(filepath.Separator)+".claude") {
		t.Errorf("%+v", f.Warnings)
	}
}

func TestWhatIsStrongerThanTheUsersSettingsIsTold(t *testing.T) {
	m := scratch(t)
	write(t, filepath.Join(m.Config.ManagedSettings, "managed-settings.json"), `{"env":{"ANTHROPIC_BASE_URL":"https://company"}}`)
	if f := Read(t.Context(), m); codes(f.Warnings) != "stronger_layer" {
		t.Errorf("%+v", f.Warnings)
	}
}

func TestWhatLeadsPastASwitchIsTold(t *testing.T) {
	direct := []state.Target{{Way: claude.Direct}}
	for _, tt := range []struct {
		environ, settings string
		targets           []state.Target
		code, text        string
	}{
		{"", "{}", direct, "", ""},
		{"CLAUDE_CODE_USE_BEDROCK=1 ANTHROPIC_API_KEY=x", "{}", direct, "", ""}, // a switch empties them
		{"ANTHROPIC_UNIX_SOCKET=/run/x CLAUDE_CODE_RESTRICTED=1", "{}", nil, "goes_past", "ANTHROPIC_UNIX_SOCKET in this environment makes Claude Code bypass"},
		{"CLAUDE_CODE_RESTRICTED=1", "{}", nil, "goes_past", "CLAUDE_CODE_RESTRICTED in this environment makes"},
		{"", `{"enforceAvailableModels":true}`, direct, "model_limited", "~/.claude/settings.json:1: enforceAvailableModels"},
		{"", `{"enforceAvailableModels":true}`, []state.Target{{Way: claude.Gateway}}, "", ""},
		{"", `{"enforceAvailableModels":false}`, direct, "", ""},
	} {
		m := scratch(t, strings.Fields(tt.environ)...)
		if err := errors.Join(os.MkdirAll(m.ConfigDir(), 0o700), os.WriteFile(filepath.Join(m.ConfigDir(), "settings.json"), []byte(tt.settings), 0o600)); err != nil {
			t.Fatal(err)
		}
		got := elsewhere(m, tt.targets)
		if codes(got) != tt.code || len(got) > 0 && !strings.HasPrefix(filepath.ToSlash(got[0].Text), tt.text) {
			t.Errorf("%s %s: %+v", tt.environ, tt.settings, got)
		}
	}
}

func TestTheWatcherTellsWhatChanged(t *testing.T) {
	m := scratch(t)
	sessions := filepath.Join(m.ConfigDir(), "sessions")
	if err := os.MkdirAll(sessions, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := Watch(m)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	hear := func(what string, from <-chan struct{}) {
		t.Helper()
		select {
		case <-from:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was heard of " + what)
		}
	}
	write(t, filepath.Join(sessions, "1.json"), "{}")
	hear("a session", w.Sessions())
	select {
	case <-w.Events():
		t.Error("a session is not a change of the settings")
	default:
	}
	write(t, m.Targets()[0].File, "{}")
	hear("the settings", w.Events())

	shop := filepath.Join(m.Home, "shop", ".claude")
	w.Update([]string{shop}) // which is not there
	if err := os.MkdirAll(shop, 0o700); err != nil {
		t.Fatal(err)
	}
	w.Update([]string{shop})
	for len(w.Events()) > 0 {
		<-w.Events()
	}
	write(t, filepath.Join(shop, "settings.json"), "{}")
	hear("a project", w.Events())
}
