package claude

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseLaunch(t *testing.T) {
	for _, tt := range []struct {
		args string
		want Launch
	}{
		{"claude", Launch{}},
		{"node /usr/bin/cli.js --model opus -p --settings a.json", Launch{Model: "opus", Settings: []string{"a.json"}}},
		{"claude --settings=a --settings b --agent=x", Launch{Settings: []string{"a", "b"}, Agent: "x"}},
		{"claude --setting-sources user,project", Launch{Sources: []string{"user", "project"}}},
		{"claude --bare --safe-mode", Launch{}}, // both read the user's env
		{"claude --restricted", Launch{Sources: []string{}, Restricted: true}},
		{"claude --restricted --setting-sources user", Launch{Sources: []string{}, Restricted: true}},
		{"claude --setting-sources user --restricted", Launch{Sources: []string{}, Restricted: true}},
		{"claude --cloud fix", Launch{Leaves: "--cloud"}},
		{"claude --teleport", Launch{Leaves: "--teleport"}},
		{"claude --model", Launch{}},
		{"claude -- --model opus", Launch{}},
		{"claude --modelx y", Launch{}},
	} {
		if got := ParseLaunch(strings.Fields(tt.args)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.args, got, tt.want)
		}
	}
}

// What a session's layers and launch say, the strongest first.
func TestWord(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("user/settings.json", `{"env":{"ANTHROPIC_BASE_URL":"http://user","ANTHROPIC_DEFAULT_OPUS_MODEL":"ai/x","CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC":"1","CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL":"1"},"agent":"lean","model":"claude-opus-4-6"}`)
	write("project/.claude/settings.json", `{"env":{"ANTHROPIC_BASE_URL":"http://team"}}`)
	write("project/pin.json", `{"env":{"ANTHROPIC_BASE_URL":"http://pin"}}`)
	write("empty/settings.json", `{}`)
	launch := func(args ...string) *Launch { l := ParseLaunch(args); return &l }
	for _, tt := range []struct {
		name            string
		config, project string
		launch          *Launch
		environ         []string
		known           bool
		url, model, by  string
		layer           Layer
		agent, provider string
		silent          bool
	}{
		{"the user's settings", "user", "", launch(), []string{}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "", true},
		{"a project's", "user", "project", launch(), []string{}, true, "http://team", "claude-opus-4-6", "model", Project, "lean", "", true},
		{"--settings, relative", "user", "project", launch("--settings", "pin.json"), []string{}, true, "http://pin", "claude-opus-4-6", "model", CommandLine, "lean", "", true},
		{"--settings as JSON", "user", "project", launch("--settings", `{"env":{"ANTHROPIC_BASE_URL":"http://inline"}}`), []string{}, true, "http://inline", "claude-opus-4-6", "model", CommandLine, "lean", "", true},
		{"no sources", "user", "project", launch("--restricted"), []string{}, true, "", "", "", "", "", "", false},
		{"no sources, by a variable", "user", "project", launch("--settings", "pin.json"), []string{"CLAUDE_CODE_RESTRICTED=1"}, true, "http://pin", "", "", CommandLine, "", "", false},
		{"a socket", "user", "", launch(), []string{"ANTHROPIC_UNIX_SOCKET=/s"}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "ANTHROPIC_UNIX_SOCKET", true},
		{"Claude Desktop", "user", "", launch("--settings", "pin.json"), []string{"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1"}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", true},
		{"Claude Desktop, off", "user", "", launch(), []string{"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=0"}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "", true},
		{"Google Cloud", "user", "", launch(), []string{"CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD=true"}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", true},
		{"in Anthropic's cloud", "user", "", launch("--cloud", "fix it"), []string{}, true, "http://user", "claude-opus-4-6", "model", User, "lean", "--cloud", true},
		{"ANTHROPIC_DEFAULT_MODEL", "empty", "", launch(), []string{"ANTHROPIC_DEFAULT_MODEL=ai/y"}, true, "", "ai/y", "ANTHROPIC_DEFAULT_MODEL", "", "", "", false},
		{"--model and --agent", "user", "", launch("--model", "sonnet", "--agent", "mine"), []string{}, true, "http://user", "", "", User, "mine", "", true},
		{"an alias", "user", "", launch("--model", "opus"), []string{}, true, "http://user", "ai/x", "", User, "lean", "", true},
		{"ANTHROPIC_MODEL", "user", "", launch(), []string{"ANTHROPIC_MODEL=ai/y"}, true, "http://user", "ai/y", "ANTHROPIC_MODEL", User, "lean", "", true},
		{"the shell", "empty", "", launch(), []string{"ANTHROPIC_BASE_URL=http://shell", "CLAUDE_CODE_USE_BEDROCK=1"}, true, "http://shell", "", "", Shell, "", "CLAUDE_CODE_USE_BEDROCK", false},
		{"an unknown shell", "empty", "", launch(), nil, false, "", "", "", "", "", "", false},
		{"an unknown shell below settings", "user", "", launch(), nil, true, "http://user", "claude-opus-4-6", "model", User, "lean", "", true},
		{"unknown arguments", "user", "", nil, []string{}, false, "http://user", "claude-opus-4-6", "model", User, "lean", "", true},
	} {
		s := Scope{ConfigDir: filepath.Join(dir, tt.config), Launch: tt.launch, Environ: tt.environ, Files: &Files{}}
		if tt.project != "" {
			s.Project = filepath.Join(dir, tt.project)
		}
		w := s.Effective()
		got := fmt.Sprint(w.Known, w.BaseURL, w.Model, w.ModelBy, w.Place.Layer, w.Agent, w.Provider, w.Silent)
		if want := fmt.Sprint(tt.known, tt.url, tt.model, tt.by, tt.layer, tt.agent, tt.provider, tt.silent); got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

func TestRoster(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, s Session) {
		t.Helper()
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := fmt.Sprintf("%d.json", self.PID)
	self.StartedAt = time.Now().UnixMilli()
	self.Status, self.CWD = "idle", "/w"
	write(own, self)
	other := self
	other.ProcStart, other.StartedAt = "1", 1 // its number is used again
	other.Status = "gone"
	write("4194305.json", Session{PID: 4194305, ProcStart: "7"})
	write("notes.json", self)
	var r Roster
	look := func() string {
		live, stale, err := r.Look(filepath.Dir(dir))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range live {
			out = append(out, s.Status)
		}
		return fmt.Sprint(out, len(stale))
	}
	if got := look(); got != "[idle] 1" {
		t.Error(got)
	}
	self.Status = "working"
	write(own, self)
	if got := look(); got != "[working] 1" {
		t.Error(got)
	}
	write(own, other)
	if got := look(); got != "[] 2" {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(dir, own), []byte(`{"pid":`), 0o600); err != nil { // being written
		t.Fatal(err)
	}
	if got := look(); got != "[] 1" { // a session whose status is not known yet
		t.Error(got)
	}
	if err := os.Remove(filepath.Join(dir, own)); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "[] 1" {
		t.Error(got)
	}
	p := r.Process(self)
	if p.Launch == nil || r.Process(self) != p {
		t.Error("a process is read again, or not at all")
	}
	if r.Keep(nil); len(r.processes) != 0 {
		t.Error("an ended process is remembered")
	}
}

// The files that the cache holds are read again when they change.
func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	var f Files
	value := func() string {
		doc, err := f.load(file)
		if err != nil {
			return err.Error()
		}
		if doc == nil {
			return "none"
		}
		v, _ := doc.variable("A")
		return v.Value
	}
	for i, tt := range []struct{ text, want string }{{"", "none"}, {`{"env":{"A":"one"}}`, "one"}, {`{"env":{"A":"three"}}`, "three"}, {"[]", file + ":1:1: the top level is not an object; correct the file"}, {"", "none"}} {
		_ = os.Remove(file)
		if tt.text != "" {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got := value(); got != tt.want {
				t.Errorf("%d: %s, want %s", i, got, tt.want)
			}
		}
	}
}

func TestOverlay(t *testing.T) {
	for base, want := range map[string]string{
		"":                            "{\n  \"agent\": \"\",\n  \"env\": {\n    \"A\": \"1\"\n  }\n}\n",
		`{"env":{"B":"2"},"agent":1}`: `{"env":{"B":"2","A":"1"},"agent":""}`,
	} {
		got, err := Overlay([]byte(base), map[string]string{"A": "1", agentKey: ""})
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	if _, err := Overlay([]byte("[]"), nil); err == nil {
		t.Error("a list was taken for settings")
	}
}

// A project's agent is its own, so that the user's way back does not take it.
func TestAProjectsAgentIsItsOwn(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}")
	project := ProjectTarget(filepath.Join(h.dir, "p"), h.Dir)
	if err := os.Mkdir(project.Project, 0o755); err != nil {
		t.Fatal(err)
	}
	to := destination
	to.Agent = leanAgent
	for _, target := range []Target{h.Target, project} {
		if _, err := h.ledger.Switch(t.Context(), target, Local, to, nil); err != nil {
			t.Fatal(err)
		}
	}
	agents, _ := filepath.Glob(filepath.Join(h.Dir, "agents", "*"))
	if len(agents) != 2 {
		t.Fatalf("%v", agents)
	}
	status, err := h.ledger.Inspect(project)
	if err != nil || status.Agent == leanAgent.Name || !strings.HasPrefix(status.Agent, leanAgent.Name) {
		t.Errorf("%+v, %v", status, err)
	}
	if text, err := os.ReadFile(filepath.Join(h.Dir, "agents", status.Agent+".md")); err != nil || !strings.Contains(string(text), "name: "+status.Agent+"\n") {
		t.Errorf("%s, %v", text, err)
	}
	h.to(t, Cloud)
	if agents, _ = filepath.Glob(filepath.Join(h.Dir, "agents", "*")); len(agents) != 1 {
		t.Errorf("%v", agents)
	}
	if _, err := h.ledger.Switch(t.Context(), project, Cloud, Destination{}, nil); err != nil {
		t.Fatal(err)
	}
	wantTidyFolder(t, h.Dir, "settings.json")
}
