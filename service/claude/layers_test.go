package claude

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scope makes the folders of every layer and writes the files given.
func scope(t *testing.T, files map[string]string, environ ...string) (Scope, Target) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s := Scope{ManagedDir: filepath.Join(dir, "managed"), ConfigDir: filepath.Join(dir, "user"), Project: filepath.Join(dir, "project"), Environ: environ}
	return s, UserTarget(s.ConfigDir)
}

func TestTheStrongestLayerWins(t *testing.T) {
	s, _ := scope(t, map[string]string{
		"managed/managed-settings.json":        "{\"env\":{\"ANTHROPIC_BASE_URL\":\"m\"}}",
		"managed/managed-settings.d/10-a.json": "{\n\"env\":{\n\"ANTHROPIC_BASE_URL\":\"m10\"}}",
		"managed/managed-settings.d/.x.json":   "{\"env\":{\"ANTHROPIC_BASE_URL\":\"hidden\"}}",
		"project/.claude/settings.local.json":  "{\"env\":{\"ANTHROPIC_BASE_URL\":\"l\"}}",
		"project/.claude/settings.json":        "{\"env\":{\"ANTHROPIC_BASE_URL\":\"p\",\"FOO\":\"x\"},\"model\":\"opus\"}",
		"user/settings.json":                   "{\"env\":{\"ANTHROPIC_BASE_URL\":\"u\"}}",
	}, "ANTHROPIC_BASE_URL=s", "PATH=/bin", "CLAUDE_CODE_USE_BEDROCK=1")
	settings, skipped := s.Explain()
	if len(skipped) > 0 || len(settings) != 3 {
		t.Fatalf("%+v %v", settings, skipped)
	}
	url := settings[0]
	var order []string
	for _, p := range append([]Place{url.Place}, url.Others...) {
		order = append(order, string(p.Layer)+"="+p.Value)
	}
	if got := strings.Join(order, " "); got != "managed=m10 managed=m local=l project=p user=u shell=s" {
		t.Errorf("order is %s", got)
	}
	if url.Line != 3 || filepath.Base(url.File) != "10-a.json" {
		t.Errorf("decided at %s:%d", url.File, url.Line)
	}
	if settings[1].Name != "CLAUDE_CODE_USE_BEDROCK" || settings[1].Layer != Shell || settings[2].Name != "model" || settings[2].Layer != Project {
		t.Errorf("%+v", settings[1:])
	}
}

func TestAFileThatClaudeCodeSkipsIsNamed(t *testing.T) {
	s, _ := scope(t, map[string]string{
		"project/.claude/settings.json": "{\n// no\n}",
		"user/settings.json":            `{"env":{"ANTHROPIC_BASE_URL":"u"}}`,
	})
	settings, skipped := s.Explain()
	if len(skipped) != 1 || skipped[0].Line != 2 || len(settings) != 1 || settings[0].Layer != User {
		t.Errorf("%+v %v", settings, skipped)
	}
}

func TestStrongerLayers(t *testing.T) {
	tests := []struct {
		name, file, data string
		project          bool
		want             string
	}{
		{"managed base URL", "managed/managed-settings.json", "{\n\n\"env\": {\"ANTHROPIC_BASE_URL\": \"x\"}}", false, "managed-settings.json:3"},
		{"managed bedrock", "managed/managed-settings.json", `{"env":{"CLAUDE_CODE_USE_BEDROCK":"1"}}`, true, "managed-settings.json:1"},
		{"managed bedrock off", "managed/managed-settings.json", `{"env":{"CLAUDE_CODE_USE_BEDROCK":"0"}}`, false, ""},
		{"managed and harmless", "managed/managed-settings.json", `{"env":{"HTTP_PROXY":"x"},"permissions":{}}`, false, ""},
		{"project over user", "project/.claude/settings.json", `{"env":{"ANTHROPIC_AUTH_TOKEN":"x"}}`, false, "settings.json:1"},
		{"project under project-local", "project/.claude/settings.json", `{"env":{"ANTHROPIC_AUTH_TOKEN":"x"}}`, true, ""},
		{"project-local over user", "project/.claude/settings.local.json", `{"env":{"ANTHROPIC_MODEL":"x"}}`, false, "settings.local.json:1"},
		{"the target itself", "user/settings.json", `{"env":{"ANTHROPIC_BASE_URL":"x"}}`, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, target := scope(t, map[string]string{tt.file: tt.data})
			if tt.project {
				target = ProjectTarget(s.Project, s.ConfigDir)
			}
			refusal := s.Stronger(target)
			if (refusal == nil) != (tt.want == "") || refusal != nil && !strings.HasSuffix(refusal.Where(), tt.want) {
				t.Errorf("got %v, want %q", refusal, tt.want)
			}
		})
	}
}

func TestWhatIsNeutralised(t *testing.T) {
	s, _ := scope(t, map[string]string{"user/settings.json": `{"env":{"CLAUDE_CODE_USE_VERTEX":"true","ANTHROPIC_MODEL":"claude-opus-4-6","ANTHROPIC_API_KEY":"sk-real"}}`},
		"CLAUDE_CODE_USE_BEDROCK=1", "CLAUDE_CODE_USE_FOUNDRY=0", "CLAUDE_CODE_SUBAGENT_MODEL=haiku", "ANTHROPIC_CUSTOM_HEADERS=", "HTTPS_PROXY=http://p")
	got := s.Neutral()
	names := slices.Sorted(maps.Keys(got))
	if want := "ANTHROPIC_API_KEY ANTHROPIC_MODEL CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX NO_PROXY"; strings.Join(names, " ") != want {
		t.Errorf("got %q, want %s", names, want)
	}
	for name, value := range got {
		if value != "" && name != noProxyKey {
			t.Errorf("%s is %q", name, value)
		}
	}
}

func TestProxies(t *testing.T) {
	for _, tt := range []struct {
		name, settings string
		environ        []string
		proxy          string
		want           map[string]string
	}{
		{"none", `{}`, nil, "", nil},
		{"a proxy", `{}`, []string{"HTTPS_PROXY=http://p"}, "HTTPS_PROXY", map[string]string{"NO_PROXY": loopbacks}},
		{"written small", `{}`, []string{"all_proxy=socks5://p", "no_proxy=.corp"}, "all_proxy", map[string]string{"no_proxy": ".corp," + loopbacks}},
		{"both ways", `{"env":{"NO_PROXY":".corp"}}`, []string{"HTTP_PROXY=http://p", "no_proxy=10.0.0.0/8"}, "HTTP_PROXY", map[string]string{"NO_PROXY": ".corp," + loopbacks, "no_proxy": "10.0.0.0/8," + loopbacks}},
		{"this machine is left out", `{}`, []string{"HTTP_PROXY=http://p", "NO_PROXY=.corp 127.0.0.1"}, "", nil},
		{"by its network", `{}`, []string{"HTTP_PROXY=http://p", "NO_PROXY=127.0.0.0/8"}, "", nil},
		{"everything is", `{}`, []string{"HTTP_PROXY=http://p", "NO_PROXY=*"}, "", nil},
		{"by name only", `{}`, []string{"HTTP_PROXY=http://p", "NO_PROXY=localhost"}, "HTTP_PROXY", map[string]string{"NO_PROXY": "localhost," + loopbacks}},
		{"emptied in the settings", `{"env":{"HTTP_PROXY":""}}`, []string{"HTTP_PROXY=http://p"}, "", nil},
	} {
		s, _ := scope(t, map[string]string{"user/settings.json": tt.settings}, tt.environ...)
		proxy, proxied := s.Proxied()
		if got := s.pastProxies(); proxied != (tt.proxy != "") || proxy.Name != tt.proxy || !maps.Equal(got, tt.want) {
			t.Errorf("%s: %q %v", tt.name, proxy.Name, got)
		}
	}
}

func TestAPinnedModelIsSeen(t *testing.T) {
	for model, pinned := range map[string]bool{"opus": false, "sonnet[1m]": false, "default": false, "claude-opus-4-6": true, "ai/qwen3-coder": true} {
		_, target := scope(t, map[string]string{"user/settings.json": "{\n\"model\": \"" + model + "\"}"})
		status, err := OpenLedger(t.TempDir()).Inspect(target)
		if err != nil || (status.Pinned != nil) != pinned {
			t.Errorf("%s: %+v %v", model, status.Pinned, err)
		}
	}
}

// What a switch neutralised is hidden from the next one, which keeps it so.
func TestASecondSwitchStaysNeutral(t *testing.T) {
	s, target := scope(t, map[string]string{"user/settings.json": `{"theme":"dark"}`}, "ANTHROPIC_API_KEY=sk-real", "HTTPS_PROXY=http://p", "NO_PROXY=.corp")
	l := OpenLedger(t.TempDir())
	for _, route := range []Route{Local, Offline, Local} {
		if _, err := l.Switch(t.Context(), target, route, Destination{BaseURL: "http://127.0.0.1:1", Token: "t", Model: "ai/x"}, s.Neutral()); err != nil {
			t.Fatal(err)
		}
		doc, err := load(target.File)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, v := range doc.variables() {
			got[v.Name] = v.Value
		}
		if key, set := got["ANTHROPIC_API_KEY"]; !set || key != "" || got["NO_PROXY"] != ".corp,"+loopbacks {
			t.Errorf("%s: %v", route, got)
		}
		if _, set := got["DISABLE_AUTOUPDATER"]; set != (route == Offline) {
			t.Errorf("%s: the offline route's variables are there: %t", route, set)
		}
	}
	if _, err := l.Switch(t.Context(), target, Cloud, Destination{}, nil); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(target.File); err != nil || string(data) != `{"theme":"dark"}` {
		t.Errorf("%v %s", err, data)
	}
}

func TestNamesOfTheCloud(t *testing.T) {
	for _, tt := range []struct {
		names string
		want  bool
	}{
		{"opus Sonnet[1m] default claude-opus-4-6 claude-opus-4-6[1m] Claude-Opus-5 claude-tier-of-tomorrow-7", true},
		{"claude-3-5-haiku-20241022 claude-opus-5@20250101 claude-3-5-sonnet-v2@20241022 projects/p/locations/l/publishers/anthropic/models/claude-opus-5", true},
		{"us.anthropic.claude-opus-4-6-v1:0 anthropic.claude-opus-5 global.anthropic.claude-sonnet-5-20250929-v1:0 us-gov.anthropic.claude-haiku-4-5", true},
		{"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5-v1:0", true},
		{"anthropic/claude-opus-5.5 anthropic/Claude-Sonnet-5 openrouter/anthropic/claude-opus-5 bedrock/us.anthropic.claude-opus-5 bedrock/converse/eu.anthropic.claude-haiku-4-5", true},
		{"vertex/claude-opus-5@20250101 vertex_ai/claude-opus-5 databricks-claude-sonnet-5 anthropic--claude-4.5-sonnet litellm/claude-opus-5", true},
		{"[[crash]] ai/opus qwen3 ai/claude-like-finetune me/claude-opus-distill hf.co/me/claude-3-opus-gguf:Q4_K_M docker.io/ai/claude-like:latest", false},
		{"claude claudette-7b ai/qwen3-claude-style my.claude/opus anthropic/other openrouter/qwen/qwen3", false},
	} {
		for name := range strings.FieldsSeq(tt.names) {
			if CloudName(name) != tt.want {
				t.Errorf("%q: %t", name, !tt.want)
			}
		}
	}
	if CloudName("") {
		t.Error("nothing is no name")
	}
}
