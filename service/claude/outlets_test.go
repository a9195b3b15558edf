package claude

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The table is whole: what it says that a switch does, a switch does.
func TestTheTableOfOutlets(t *testing.T) {
	all := Values(Offline, Destination{Context: 1, Name: "n", Slots: 1})
	seen := map[string]bool{}
	for _, o := range outlets {
		if seen[o.name] || o.source == "" || o.answer == 0 {
			t.Errorf("%s stands there twice, or without a source or an answer", o.name)
		}
		seen[o.name] = true
		variable := !strings.HasPrefix(o.name, "--") && !strings.HasPrefix(o.name, topLevel)
		if _, set := all[o.name]; variable && o.name != noProxyKey && set != (o.answer&owned != 0) {
			t.Errorf("%s: a switch sets it: %t", o.name, set)
		}
		if !variable {
			continue
		}
		value := map[bool]string{true: "true", false: "claude-1"}[o.effect == vendor]
		settings := fmt.Sprintf(`{"env":{%q:%q}}`, o.name, value)
		s, _ := scope(t, map[string]string{"user/settings.json": settings})
		if value, set := s.Neutral()[o.name]; o.effect != proxy && (set && value == "") != (o.answer&blanked != 0) {
			t.Errorf("%s: a switch empties it: %t", o.name, set)
		}
		s, _ = scope(t, nil, o.name+"=1")
		if _, set := s.Neutral()[o.name]; o.effect != proxy && set != (o.answer&blanked != 0) {
			t.Errorf("%s in the shell: a switch empties it: %t", o.name, set)
		}
		s, target := scope(t, map[string]string{"managed/managed-settings.json": settings})
		if refusal := s.Stronger(target); (refusal != nil) != (o.answer&refused != 0) {
			t.Errorf("%s: a stronger layer is refused: %v", o.name, refusal)
		}
		if settings, _ := s.Explain(); (len(settings) == 1) == shellOnly(o.name) {
			t.Errorf("%s: explain lists %+v", o.name, settings)
		}
	}
	for name := range all {
		_, known := outletNamed(name)
		label := strings.HasSuffix(name, "_NAME") || strings.HasSuffix(name, "_DESCRIPTION")
		if strings.HasPrefix(name, "ANTHROPIC_") && !known && !label {
			t.Errorf("%s is set, and not in the table", name)
		}
	}
}

func TestWhatTakesASessionPastItsSettings(t *testing.T) {
	for _, tt := range []struct {
		args, environ string
		past, ignores string
	}{
		{"claude", "CLAUDE_CODE_USE_BEDROCK=1 ANTHROPIC_BASE_URL=x", "", ""},
		{"claude", "ANTHROPIC_UNIX_SOCKET=/run/x", "ANTHROPIC_UNIX_SOCKET", ""},
		{"claude", "ANTHROPIC_UNIX_SOCKET= CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=false CLAUDE_CODE_RESTRICTED=0", "", ""},
		{"claude", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", ""},
		{"claude", "CLAUDE_CODE_HOST_AUTH_ENV_VAR=X", "CLAUDE_CODE_HOST_AUTH_ENV_VAR", ""},
		{"claude --cloud", "ANTHROPIC_UNIX_SOCKET=/run/x", "--cloud", ""},
		{"claude --remote-control", "", "--remote-control", ""},
		{"claude --restricted -p x", "", "", "--restricted"},
		{"claude", "CLAUDE_CODE_RESTRICTED=1", "", "CLAUDE_CODE_RESTRICTED"},
		{"claude --setting-sources project,local", "", "", "--setting-sources"},
		{"claude --setting-sources user", "", "", ""},
		{"claude --bare -- --cloud", "", "", ""},
	} {
		launch := ParseLaunch(strings.Fields(tt.args))
		environ := strings.Fields(tt.environ)
		s := Scope{Environ: environ, Launch: &launch}
		if got := s.Past() + " " + s.Ignores(); got != tt.past+" "+tt.ignores {
			t.Errorf("%s %s: %s", tt.environ, tt.args, got)
		}
		s = Scope{Environ: WithoutPast(environ)}
		if s.Past() != "" {
			t.Errorf("%s: %s is still there", tt.environ, s.Past())
		}
	}
	kept := []string{"PATH=/bin", "ANTHROPIC_UNIX_SOCKET=/run/x", "ANTHROPIC_UNIX_SOCKETS=2"}
	if got := WithoutPast(kept); !slices.Equal(got, []string{"PATH=/bin", "ANTHROPIC_UNIX_SOCKETS=2"}) || len(kept) != 3 {
		t.Errorf("%v", got)
	}
}

func TestExplainListsSettingsBesideEnv(t *testing.T) {
	s, _ := scope(t, map[string]string{"user/settings.json": "{\"availableModels\": [\"opus\"],\n\"enforceAvailableModels\": true,\n\"modelOverrides\": {\"a\": \"b\"}, \"theme\": \"dark\"}"})
	settings, _ := s.Explain()
	var lines []string
	for _, one := range settings {
		lines = append(lines, fmt.Sprintf("%s=%s:%d", one.Name, one.Value, one.Line))
	}
	if got := strings.Join(lines, " "); got != `availableModels=["opus"]:1 enforceAvailableModels=true:2 modelOverrides={"a": "b"}:3` {
		t.Errorf("%s", got)
	}
}

// A restricted session reads the administrator's settings, and those of its command line.
func TestARestrictedSession(t *testing.T) {
	s, _ := scope(t, map[string]string{
		"managed/managed-settings.json":       `{"env":{"ANTHROPIC_MODEL":"m"}}`,
		"project/.claude/settings.local.json": `{"env":{"ANTHROPIC_BASE_URL":"l"}}`,
		"user/settings.json":                  `{"env":{"ANTHROPIC_BASE_URL":"u"}}`,
	}, "CLAUDE_CODE_RESTRICTED=true", "ANTHROPIC_BASE_URL=s")
	if w := s.Effective(); w.BaseURL != "s" || w.Model != "m" || w.Ignores != "CLAUDE_CODE_RESTRICTED" {
		t.Errorf("%+v", w)
	}
	launch := ParseLaunch([]string{"--settings", `{"env":{"ANTHROPIC_BASE_URL":"c"}}`})
	s.Launch = &launch
	if w := s.Effective(); w.BaseURL != "c" || w.Place.Layer != CommandLine {
		t.Errorf("%+v", w)
	}
}

// What /model shows, and how many agents may work at a time.
func TestValuesDescribeTheModel(t *testing.T) {
	plain := Values(Local, Destination{Model: "docker.io/ai/x:latest"})
	for name := range plain {
		if strings.Contains(name, "_NAME") || strings.Contains(name, "CONCURRENT") {
			t.Errorf("%s is set without need", name)
		}
	}
	for slots, want := range map[int]string{1: "1 2", 4: "4 4"} {
		v := Values(Local, Destination{Model: "docker.io/ai/x:latest", Name: "ai/x", About: "local", Slots: slots})
		if got := v["CLAUDE_CODE_WORKFLOW_MAX_CONCURRENT_AGENTS"] + " " + v["CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS"]; got != want {
			t.Errorf("%d slots: %s", slots, got)
		}
		for _, tier := range []string{"OPUS", "SONNET", "HAIKU", "FABLE"} {
			if v["ANTHROPIC_DEFAULT_"+tier+"_MODEL_NAME"] != "ai/x" || v["ANTHROPIC_DEFAULT_"+tier+"_MODEL_DESCRIPTION"] != "local" {
				t.Errorf("%s: %v", tier, v)
			}
		}
	}
	if plain["CLAUDE_CODE_TOTAL_TOKENS_REMINDER"] != "off" {
		t.Errorf("%v", plain)
	}
}
