package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/fault"
)

// load reads a configuration of this text with these variables.
func load(t *testing.T, text string, environ map[string]string) (Config, []string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, warnings, err := Load(file, func(name string) string { return environ[name] })
	var texts []string
	for _, w := range warnings {
		if w.Code != "config_unknown_key" || w.Remedy == "" {
			t.Errorf("%+v", w)
		}
		texts = append(texts, w.Text)
	}
	return c, texts, err
}

func TestNobodyNeedsAConfiguration(t *testing.T) {
	c, warnings, err := load(t, "", nil)
	if err != nil || len(warnings) > 0 || !reflect.ValueOf(c).IsZero() {
		t.Errorf("%+v %v %v", c, warnings, err)
	}
}

func TestUnknownKeysAreTold(t *testing.T) {
	c, warnings, err := load(t, "modle = \"ai/x\"\nparallel = 2\n[extra]\nx = 1\n", nil)
	if err != nil || c.Parallel != 2 {
		t.Errorf("%+v %v", c, err)
	}
	if all := strings.Join(warnings, "\n"); !strings.Contains(all, `there is no key "modle"`) || !strings.Contains(all, `"extra.x"`) {
		t.Errorf("%s", all)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		environ    map[string]string
		want       string
	}{
		{"a broken line", "model = \"a\"\nmodel", nil, "line 2: "},
		{"another type", "parallel = \"two\"", nil, "parallel"},
		{"a port below", "gateway_port = -1", nil, "gateway_port must be between 1 and 65535"},
		{"a port above", "gateway_port = 65536", nil, "gateway_port must be between 1 and 65535"},
		{"less than nothing at a time", "parallel = -1", nil, "parallel not below 0"},
		{"no kind", `quiet = ["pulls", "noise"]`, nil, `unknown kind of notification "noise"`},
		{"no word for the cloud", `cloud = "sometimes"`, nil, `"sometimes" for cloud`},
		{"no word for auto", `auto = "yes"`, nil, `invalid value "yes" for auto`},
		{"variable: no port", "", map[string]string{"SWITCHYARD_GATEWAY_PORT": "many"}, `"many" is not a number`},
		{"variable: a port above", "", map[string]string{"SWITCHYARD_GATEWAY_PORT": "70000"}, "gateway_port"},
		{"variable: no number", "", map[string]string{"SWITCHYARD_PARALLEL": "x"}, "is not a number"},
		{"variable: neither yes nor no", "", map[string]string{"SWITCHYARD_LEAN": "maybe"}, "neither true nor false"},
		{"variable: notifications", "", map[string]string{"SWITCHYARD_NOTIFICATIONS": "maybe"}, "neither true nor false"},
		{"variable: the runner's start", "", map[string]string{"SWITCHYARD_START_RUNNER": "maybe"}, "neither true nor false"},
		{"variable: the cloud", "", map[string]string{"SWITCHYARD_CLOUD": "x"}, `"x" for cloud`},
		{"variable: auto", "", map[string]string{"SWITCHYARD_AUTO": "x"}, `invalid value "x" for auto`},
		{"variable: no kind", "", map[string]string{"SWITCHYARD_QUIET": "pulls,noise"}, `unknown kind of notification "noise"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.text, tt.environ)
			var refused *fault.Error
			if !errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Why, tt.want) || refused.What == "" || refused.Remedy == "" {
				t.Errorf("%+v", err)
			}
		})
	}
}

func TestAConfigurationThatCannotBeRead(t *testing.T) {
	_, _, err := Load(t.TempDir(), func(string) string { return "" })
	var failed *fault.Error
	if !errors.As(err, &failed) || failed.Kind != fault.Failed {
		t.Errorf("%v", err)
	}
}

func TestTheEnvironmentOverrulesTheFile(t *testing.T) {
	text := `runner = "f"
model = "f"
engine = "f"
model_runner = "f"
llama_server = "f"
targets = ["f"]
managed_settings = "f"
notifications = false
start_runner = false
cloud = "never"
quiet = ["pulls"]
releases = "f"
auto = "off"
lean = false
gateway_port = 1
parallel = 1
`
	list := string(os.PathListSeparator)
	environ := map[string]string{
		"SWITCHYARD_RUNNER": "e", "SWITCHYARD_MODEL": "e", "SWITCHYARD_ENGINE": "e", "SWITCHYARD_MODEL_RUNNER": "e", "SWITCHYARD_LLAMA_SERVER": "e",
		"SWITCHYARD_TARGETS": "e" + list + "g", "SWITCHYARD_MANAGED_SETTINGS": "e", "SWITCHYARD_NOTIFICATIONS": "true", "SWITCHYARD_START_RUNNER": "1",
		"SWITCHYARD_CLOUD": "never", "SWITCHYARD_QUIET": "failures,memory", "SWITCHYARD_RELEASES": "e", "SWITCHYARD_AUTO": "switch", "SWITCHYARD_LEAN": "true",
		"SWITCHYARD_GATEWAY_PORT": "2", "SWITCHYARD_PARALLEL": "2",
	}
	fields := reflect.TypeFor[Config]().NumField()
	if len(environ) != fields || strings.Count(text, "=") != fields {
		t.Fatalf("the configuration has %d keys: this test must know them all", fields)
	}
	yes := true
	want := Config{Runner: "e", Model: "e", Engine: "e", ModelRunner: "e", LlamaServer: "e", Targets: []string{"e", "g"}, ManagedSettings: "e", Notifications: &yes,
		StartRunner: &yes, Cloud: "never", Quiet: []string{"failures", "memory"}, Releases: "e", Auto: "switch", Lean: &yes, GatewayPort: 2, Parallel: 2}
	if got, _, err := load(t, text, environ); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	got, _, err := load(t, text, map[string]string{"SWITCHYARD_MODEL": ""})
	if err != nil || got.Model != "f" || got.GatewayPort != 1 || *got.Lean || *got.Notifications {
		t.Errorf("an empty variable says nothing: %+v %v", got, err)
	}
}

func TestWhatAProjectFileForbids(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		want       string // in the lock's value; empty: it allows everything
	}{
		{"nothing", "", 0, ""},
		{"a remark", "# nothing yet\n", 0, ""},
		{"the cloud", "# ours\nroute = \"local-only\"\n", 2, `route = "local-only"`},
		{"something newer", "route = \"cloud-only\"\n", 1, "understands only"},
		{"another key", "\nrout = \"local-only\"\n", 0, "understands only"},
		{"a broken line", "\nroute =\n", 2, "it cannot be read: "},
		{"another type", "route = 3\n", 0, "it cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), ProjectFile)
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			lock, there := ReadProject(file)
			if !there || lock.File != file || (lock.Value != "") != (tt.want != "") || !strings.Contains(lock.Value, tt.want) || tt.line > 0 && lock.Line != tt.line {
				t.Errorf("%+v %v", lock, there)
			}
			if tt.want == "" {
				return
			}
			refusal := lock.Refusal()
			if refusal.Kind != fault.Refused || !strings.HasPrefix(refusal.Why, lock.Where()+" forbids the cloud") {
				t.Errorf("%v", refusal)
			}
		})
	}
	if lock, there := ReadProject(filepath.Join(t.TempDir(), ProjectFile)); there || lock.Value != "" {
		t.Errorf("without a file: %+v", lock)
	}
	folder := filepath.Join(t.TempDir(), ProjectFile)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if lock, there := ReadProject(folder); !there || lock.Value == "" {
		t.Errorf("one that cannot be read: %+v %v", lock, there)
	}
}

func TestWhereALockStands(t *testing.T) {
	if got := (Lock{File: "/p/f"}).Where(); got != "/p/f" {
		t.Error(got)
	}
	if got := (Lock{File: "/p/f", Line: 3}).Where(); got != "/p/f:3" {
		t.Error(got)
	}
}

func TestFoldersAsAPersonWritesThem(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("other paths there")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"~": "/home/me", "~/x": "/home/me/x", "/x/../y": "/y", "x": filepath.Join(here, "x"), "~you": filepath.Join(here, "~you")} {
		if got := Expand(dir, "/home/me"); got != want {
			t.Errorf("%s: %s", dir, got)
		}
	}
}

func TestWithoutARuntimeFolderTheStateHasTheSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := Paths{State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}
	if got, err := p.RuntimeDir(); got != p.Runtime || err != nil || Missing(got) {
		t.Errorf("%s %v", got, err)
	}
	p.Runtime = filepath.Join(file, "run")
	if got, err := p.RuntimeDir(); got != p.State || err != nil || Missing(got) {
		t.Errorf("%s %v", got, err)
	}
}
