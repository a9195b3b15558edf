package switching

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
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
)

// scratch is a machine whose runner does not answer.
func scratch(t *testing.T) *machine.Machine {
	t.Helper()
	home := t.TempDir()
	m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")},
		home, []string{"MODEL_RUNNER_HOST=http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	m.Config.ManagedSettings = filepath.Join(home, "managed")
	write(t, filepath.Join(home, ".claude", "settings.json"), "{}")
	return m
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func turn(t *testing.T, m *machine.Machine, r Request) (Result, error) {
	t.Helper()
	return Switch(t.Context(), m, r, localrunner.Progress{})
}

// refused tells why a switch was refused.
func refused(t *testing.T, err error) string {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Refused || e.Remedy == "" {
		t.Errorf("it was not refused: %v", err)
		return ""
	}
	return e.Why
}

func untouched(t *testing.T, m *machine.Machine) {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join(m.Home, ".claude", "settings.json")); err != nil || string(data) != "{}" {
		t.Errorf("the settings were touched: %s %v", data, err)
	}
}

func TestAForcedSwitchSaysWhatWasNotShown(t *testing.T) {
	m := scratch(t)
	result, err := turn(t, m, Request{Route: claude.Local, Model: "ai/x", Context: 65536, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(result.Unproven, runner.Proofs()) || result.Model != "ai/x" || result.Context != 65536 {
		t.Errorf("%+v", result)
	}
	if m.Chosen() != "ai/x" {
		t.Errorf("the next one takes %q", m.Chosen())
	}
	result, err = turn(t, m, Request{Route: claude.Cloud})
	if err != nil || len(result.Unproven) != 0 || len(result.Targets) != 1 || !result.Targets[0].Changed {
		t.Errorf("%+v %v", result, err)
	}
	untouched(t, m)
}

func TestAForcedSwitchNeedsAModelsName(t *testing.T) {
	m := scratch(t)
	_, err := turn(t, m, Request{Route: claude.Local, Force: true})
	if why := refused(t, err); !strings.Contains(why, "no model was named") {
		t.Error(why)
	}
	untouched(t, m)
}

func TestWithoutARunnerNothingIsTouched(t *testing.T) {
	m := scratch(t)
	var e *fault.Error
	if _, err := turn(t, m, Request{Route: claude.Local, Model: "ai/x"}); !errors.As(err, &e) || e.Kind != fault.Unreachable || e.What != "switching to local" {
		t.Errorf("%v", err)
	}
	untouched(t, m)
}

func TestAFolderThatIsNotThereIsRefused(t *testing.T) {
	m := scratch(t)
	for _, target := range []claude.Target{m.ProjectTarget("~/nowhere"), m.FolderTarget("~/nowhere")} {
		_, err := turn(t, m, Request{Route: claude.Local, Model: "x", Force: true, Targets: []claude.Target{target}})
		if why := refused(t, err); why != filepath.Join(m.Home, "nowhere")+": there is no such folder" {
			t.Error(why)
		}
	}
	if err := os.RemoveAll(m.ConfigDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := turn(t, m, Request{Route: claude.Local, Model: "x", Force: true}); err != nil {
		t.Errorf("Claude Code's own folder is made: %v", err)
	}
}

func TestWhereTheCloudIsForbidden(t *testing.T) {
	m := scratch(t)
	shop := filepath.Join(m.Home, "shop")
	write(t, filepath.Join(shop, config.ProjectFile), "route = \"local-only\"\n")
	_, err := turn(t, m, Request{Route: claude.Cloud, Targets: []claude.Target{m.ProjectTarget(shop)}})
	if why := refused(t, err); !strings.Contains(why, config.ProjectFile+":1 forbids the cloud") {
		t.Error(why)
	}
	if _, err := turn(t, m, Request{Route: claude.Local, Model: "x", Force: true, Targets: []claude.Target{m.ProjectTarget(shop)}}); err != nil {
		t.Errorf("the local route is allowed: %v", err)
	}
	m.Config.Cloud = config.Never
	_, err = turn(t, m, Request{Route: claude.Cloud})
	if why := refused(t, err); !strings.Contains(why, `cloud = "never"`) {
		t.Error(why)
	}
}

func TestTheOfflineRouteEndsWithAPersonsWord(t *testing.T) {
	m := scratch(t)
	if _, err := turn(t, m, Request{Route: claude.Offline, Model: "x", Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := turn(t, m, Request{Route: claude.Cloud}); !errors.Is(err, ErrOffline) {
		t.Errorf("%v", err)
	}
	if _, err := turn(t, m, Request{Route: claude.Cloud, Confirmed: true}); err != nil {
		t.Error(err)
	}
	untouched(t, m)
}

func TestWhatIsStrongerThanASwitch(t *testing.T) {
	m := scratch(t)
	shop := filepath.Join(m.Home, "shop")
	own := filepath.Join(shop, ".claude", "settings.json")
	write(t, own, `{"env":{"ANTHROPIC_BASE_URL":"https://company"}}`)
	r := Request{Route: claude.Local, Model: "x", Folder: shop}
	_, err := turn(t, m, r)
	if why := refused(t, err); !strings.HasPrefix(why, own+":1") {
		t.Errorf("the project's file: %s", why)
	}
	untouched(t, m)
	r.Force = true
	if _, err := turn(t, m, r); err != nil {
		t.Errorf("forced, for all other folders: %v", err)
	}
	if _, err := turn(t, m, Request{Route: claude.Cloud, Folder: shop}); err != nil {
		t.Errorf("back, in the same folder: %v", err)
	}
	write(t, filepath.Join(m.Config.ManagedSettings, "managed-settings.json"), `{"env":{"ANTHROPIC_BASE_URL":"https://company"}}`)
	_, err = turn(t, m, r)
	if why := refused(t, err); !strings.Contains(why, "managed-settings.json") {
		t.Errorf("the administrator's file, forced: %s", why)
	}
}

func TestTheLeanProfileGoesWithASwitch(t *testing.T) {
	m := scratch(t)
	yes, no := true, false
	agent := filepath.Join(m.ConfigDir(), "agents", machine.LeanAgent+".md")
	for _, tt := range []struct {
		lean *bool
		want bool
	}{{nil, false}, {&yes, true}, {nil, true}, {&no, false}} {
		if _, err := turn(t, m, Request{Route: claude.Local, Model: "x", Force: true, Lean: tt.lean}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(agent); (err == nil) != tt.want || m.Lean() != tt.want {
			t.Errorf("%v, remembered %v", err, m.Lean())
		}
	}
}
