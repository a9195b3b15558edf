package claude

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var destination = Destination{BaseURL: "http://127.0.0.1:12434/anthropic", Token: "switchyard", Model: "docker.io/ai/tiny:latest", Context: 65536}

// hasModes reports whether files have a mode that says who may do what.
const hasModes = runtime.GOOS != "windows"

// lean stands for a journey to local with an agent file.
const lean Route = "lean"

var leanAgent = &Agent{Name: "lean", Text: []byte("---\nname: lean\n---\nBe short.\n")}

// home is a home folder with one target and a ledger.
type home struct {
	Target
	ledger *Ledger
	dir    string
}

func newHome(t testing.TB) home {
	t.Helper()
	dir := t.TempDir()
	return home{UserTarget(filepath.Join(dir, ".claude")), OpenLedger(filepath.Join(dir, "state", "ledger")), dir}
}

func (h home) put(t testing.TB, data string) {
	t.Helper()
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.File, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h home) get(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(h.File)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (h home) to(t testing.TB, route Route) Outcome {
	t.Helper()
	to := destination
	if route == lean {
		route, to.Agent = Local, leanAgent
	}
	out, err := h.ledger.Switch(t.Context(), h.Target, route, to, nil)
	if err != nil {
		t.Fatalf("switch to %s: %v", route, err)
	}
	return out
}

// settings are files that people have. want is the refusal's position,
// "line:column", or empty for a file that must survive local and back.
var settings = []struct{ name, file, want string }{
	{"empty", "", ""},
	{"white space", " \n\t\r\n", ""},
	{"byte order mark alone", "\xef\xbb\xbf", ""},
	{"empty object", "{}", ""},
	{"empty object, newline", "{}\n", ""},
	{"empty object with space", "{ }", ""},
	{"empty object over two lines", "{\n}\n", ""},
	{"no env", "{\n  \"theme\": \"dark\"\n}\n", ""},
	{"no final newline", "{\n  \"theme\": \"dark\"\n}", ""},
	{"many final newlines", "{\"a\":1}\n\n\n", ""},
	{"carriage returns", "{\r\n  \"theme\": \"dark\",\r\n  \"env\": {\r\n    \"FOO\": \"bar\"\r\n  }\r\n}\r\n", ""},
	{"carriage returns, no env", "{\r\n\t\"theme\": \"dark\"\r\n}\r\n", ""},
	{"tabs", "{\n\t\"theme\": \"dark\",\n\t\"env\": {\n\t\t\"FOO\": \"bar\"\n\t}\n}\n", ""},
	{"four spaces", "{\n    \"theme\": \"dark\"\n}\n", ""},
	{"one line", `{"theme": "dark", "env": {"FOO": "bar"}}`, ""},
	{"minified", `{"theme":"dark","env":{"FOO":"bar"}}`, ""},
	{"one line, one member", `{"theme": "dark"}`, ""},
	{"odd spacing", "{ \"a\" :1 ,\n\n \"env\"\t:\t{ \"X\"\n: \"1\" } ,\"b\":[ ]}", ""},
	{"byte order mark", "\xef\xbb\xbf{\n  \"theme\": \"dark\"\n}\n", ""},
	{"empty env", "{\n  \"env\": {}\n}\n", ""},
	{"empty env with space", "{\n  \"env\": {\n  }\n}\n", ""},
	{"env first", "{\n  \"env\": {\n    \"FOO\": \"bar\"\n  },\n  \"theme\": \"dark\"\n}\n", ""},
	{"unicode escapes", `{"n\u0061me":"\u00e9\ud83d\ude00","env":{"\u0041NTHROPIC_BASE_URL":"https:\/\/gw.example\u002f"}}`, ""},
	{"lone surrogate", `{"a":"\ud800","env":{"B":"\udfff"}}`, ""},
	{"not UTF-8", "{\"a\":\"\xff\xfe\",\"env\":{\"ANTHROPIC_BASE_URL\":\"\xff\"}}", ""},
	{"raw unicode", "{\"名\":\"日本語 😀\u2028\"}", ""},
	{"duplicate keys", `{"theme":"a","theme":"b","env":{"A":"1"},"env":{"A":"2","A":"3"}}`, ""},
	{"duplicate owned key", `{"env":{"ANTHROPIC_BASE_URL":"https://one","ANTHROPIC_BASE_URL":"https://two"}}`, ""},
	{"huge numbers", `{"n":123456789012345678901234567890,"e":1e400,"z":-0.0,"f":1.10}`, ""},
	{"numbers as values", `{"env":{"API_TIMEOUT_MS":600000,"FOO":1.50}}`, ""},
	{"booleans as values", `{"env":{"FOO":true,"ENABLE_TOOL_SEARCH":false}}`, ""},
	{"foreign variables", `{"env":{"AWS_PROFILE":"x","HTTP_PROXY":"http://p"},"permissions":{"allow":["Bash(ls:*)"]}}`, ""},
	{"own gateway", "{\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://gateway.example\",\n    \"ANTHROPIC_AUTH_TOKEN\": \"sk-secret\"\n  }\n}\n", ""},
	{"own gateway emptied", `{"env":{"ANTHROPIC_BASE_URL":"","ANTHROPIC_AUTH_TOKEN":""}}`, ""},
	{"api key helper", `{"apiKeyHelper":"/usr/bin/pass show x","env":{}}`, ""},
	{"model of a tier", `{"model":"opus"}`, ""},
	{"model with a local name", "{\n  \"model\": \"ai/qwen3-coder\"\n}\n", ""},
	{"already local by hand", `{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:12434/anthropic","ANTHROPIC_AUTH_TOKEN":"x"}}`, ""},
	{"aliases set", `{"env":{"ANTHROPIC_DEFAULT_OPUS_MODEL":"claude-opus-4-6","ANTHROPIC_MODEL":"opus"}}`, ""},
	{"deep", `{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + "}", ""},
	{"ten megabytes", `{"a":"` + strings.Repeat("x", 10<<20) + `","env":{"A":"b"}}`, ""},
	{"a hundred thousand members", `{"a":{` + strings.Repeat(`"k":"v",`, 100_000) + `"z":0}}`, ""},
	{"hooks with shell text", `{"hooks":{"Stop":[{"hooks":[{"type":"command","command":"echo \"{\\\"env\\\":{}}\" // no comment"}]}]}}`, ""},

	{"too deep", "{\n\"a\":" + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + "}", "2:10004"},
	{"line comment", "{\n  // mine\n  \"theme\": \"dark\"\n}\n", "2:3"},
	{"comment after", "{\"a\":1} // end\n", "1:9"},
	{"block comment", "{\"a\":/* x */1}", "1:6"},
	{"comment in an empty object", "{\n /* x */\n}", "2:2"},
	{"trailing comma", "{\n  \"a\": 1,\n}\n", "2:9"},
	{"trailing comma in an array", "{\"a\":[1,2,]}", "1:10"},
	{"array at the top", "[1,2]", "1:1"},
	{"text at the top", "\n\"x\"", "2:1"},
	{"null at the top", "null", "1:1"},
	{"env is null", `{"env":null}`, "1:8"},
	{"env is text", `{"env":"A=1"}`, "1:8"},
	{"env is a list", "{\n\"env\": []}", "2:8"},
	{"object in env", `{"env":{"A":{}}}`, "1:13"},
	{"null in env", `{"env":{"A":null}}`, "1:13"},
	{"cut off", "{\n  \"env\": {\n    \"A\": \"b", "3:12"},
	{"two values", "{} {}", "1:4"},
	{"bare word", "{\"a\": yes}", "1:7"},
	{"single quotes", "{'a':1}", "1:2"},
	{"missing comma", "{\"a\":1\n\"b\":2}", "2:1"},
	{"control character", "{\"a\":\"x\ny\"}", "1:6"},
	{"zero bytes", "\x00\x00\x00", "1:1"},
	{"UTF-16", "\xff\xfe{\x00}\x00", "1:1"},
	{"token in a broken value", `{"env":{"ANTHROPIC_AUTH_TOKEN":sk-ant-secret}}`, "1:32"},
}

func TestSettingsSurviveLocalAndBack(t *testing.T) {
	for _, tt := range settings {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			h.put(t, tt.file)
			_, err := h.ledger.Switch(t.Context(), h.Target, Local, destination, nil)
			if tt.want != "" {
				wantRefusal(t, err, tt.want)
				if h.get(t) != tt.file {
					t.Error("a refused file was changed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantLocal(t, tt.file, h.get(t))
			h.to(t, Offline)
			h.to(t, Local)
			h.to(t, Cloud)
			if got := h.get(t); got != tt.file {
				t.Errorf("after cloud:\n%.300q\nwant\n%.300q", got, tt.file)
			}
			wantTidyFolder(t, h.Dir, "settings.json")
		})
	}
}

func wantRefusal(t *testing.T, err error, position string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if got := strings.TrimPrefix(refusal.Where(), refusal.File+":"); got != position {
		t.Errorf("refused at %s (%s), want %s", got, refusal.Why, position)
	}
	if strings.Contains(refusal.Error(), "secret") {
		t.Errorf("the refusal quotes the file: %v", refusal)
	}
}

// wantLocal checks that the file is still valid and that only owned variables differ.
func wantLocal(t *testing.T, before, after string) {
	t.Helper()
	decode := func(s string) map[string]any {
		m := map[string]any{}
		s = strings.TrimPrefix(s, "\xef\xbb\xbf")
		if strings.TrimSpace(s) == "" {
			return m
		}
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			t.Fatalf("not JSON any more: %v\n%.300q", err, s)
		}
		return m
	}
	was, is := decode(before), decode(after)
	env, _ := is["env"].(map[string]any)
	old, _ := was["env"].(map[string]any)
	for name, value := range Values(Local, destination) {
		if env[name] != value {
			t.Errorf("%s is %v, want %q", name, env[name], value)
		}
		delete(env, name)
		delete(old, name)
	}
	delete(was, "env")
	delete(is, "env")
	if !reflect.DeepEqual(was, is) || len(env) != len(old) || len(env) > 0 && !reflect.DeepEqual(env, old) {
		t.Error("something else than the owned variables changed")
	}
}

// wantTidyFolder checks that nothing was left beside the files named.
func wantTidyFolder(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

func TestAbsentFileIsAbsentAgain(t *testing.T) {
	h := newHome(t)
	h.to(t, Local)
	info, err := os.Stat(h.File)
	if err != nil {
		t.Fatal(err)
	}
	if hasModes && info.Mode().Perm() != 0o600 {
		t.Errorf("a new file has mode %o, want 600", info.Mode().Perm())
	}
	h.to(t, Cloud)
	if _, err := os.Stat(h.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder that the switch made is still there: %v", err)
	}
}

func TestModeIsKept(t *testing.T) {
	if !hasModes {
		t.Skip("Windows has no modes")
	}
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o664} {
		h := newHome(t)
		h.put(t, "{}")
		if err := os.Chmod(h.File, mode); err != nil {
			t.Fatal(err)
		}
		for _, route := range []Route{Local, Cloud} {
			h.to(t, route)
			if info, _ := os.Stat(h.File); info.Mode().Perm() != mode {
				t.Errorf("%s: mode is %o, want %o", route, info.Mode().Perm(), mode)
			}
		}
	}
}

func TestLinksAreFollowedAndKept(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege on Windows")
	}
	for _, exists := range []bool{true, false} {
		t.Run("target exists "+strconv.FormatBool(exists), func(t *testing.T) {
			h := newHome(t)
			dotfiles := filepath.Join(h.dir, "dotfiles")
			real := filepath.Join(dotfiles, "claude.json")
			if err := errors.Join(os.MkdirAll(h.Dir, 0o755), os.MkdirAll(dotfiles, 0o755), os.Symlink("../dotfiles/claude.json", h.File)); err != nil {
				t.Fatal(err)
			}
			if exists {
				if err := os.WriteFile(real, []byte("{ \"a\": 1 }"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			h.to(t, Local)
			wantLink(t, h.File)
			if status, err := h.ledger.Inspect(h.Target); err != nil || status.Route != Local {
				t.Errorf("route %s, %v", status.Route, err)
			}
			h.to(t, Cloud)
			wantLink(t, h.File)
			data, err := os.ReadFile(real)
			if exists && string(data) != "{ \"a\": 1 }" {
				t.Errorf("after cloud %q", data)
			}
			if !exists && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the link's target did not exist before: %v", err)
			}
		})
	}
}

func wantLink(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("%s is not a link any more (%v)", path, err)
	}
}

func TestRefusedBeforeAnythingIsWritten(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(h home) error
		why     string
	}{
		{"read-only file", func(h home) error { return os.Chmod(h.File, 0o444) }, "read-only"},
		{"folder in its place", func(h home) error { return errors.Join(os.Remove(h.File), os.Mkdir(h.File, 0o755)) }, "regular file"},
		{"link into nowhere", func(h home) error {
			return errors.Join(os.Remove(h.File), os.Symlink("/nonexistent/folder/x.json", h.File))
		}, "does not exist"},
		{"link to itself", func(h home) error { return errors.Join(os.Remove(h.File), os.Symlink("settings.json", h.File)) }, "too many links"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.HasPrefix(tt.name, "link") {
				t.Skip("links need a privilege on Windows")
			}
			h := newHome(t)
			h.put(t, "{}")
			if err := tt.arrange(h); err != nil {
				t.Fatal(err)
			}
			_, err := h.ledger.Switch(t.Context(), h.Target, Local, destination, nil)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want %q", err, tt.why)
			}
			wantTidyFolder(t, h.Dir, "settings.json")
		})
	}
}

func TestProjectTargetLeavesTheTeamsFileAlone(t *testing.T) {
	h := newHome(t)
	project := filepath.Join(h.dir, "project")
	team := filepath.Join(project, ".claude", "settings.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(team), 0o755), os.WriteFile(team, []byte(`{"model":"opus"}`), 0o644)); err != nil {
		t.Fatal(err)
	}
	h.Target = ProjectTarget(project, h.Dir)
	h.to(t, Local)
	wantTidyFolder(t, filepath.Dir(team), "settings.json", "settings.local.json")
	h.to(t, Cloud)
	wantTidyFolder(t, filepath.Dir(team), "settings.json")
	if data, _ := os.ReadFile(team); string(data) != `{"model":"opus"}` {
		t.Errorf("the team's file is now %s", data)
	}
}

func TestLedgerIsPrivateAndPruned(t *testing.T) {
	h := newHome(t)
	for i := range 2 * keptEntries {
		h.put(t, `{"n":`+strconv.Itoa(i)+`}`)
		h.to(t, Local)
		h.to(t, Cloud)
	}
	files := 0
	err := filepath.WalkDir(h.ledger.Dir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && hasModes && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	past, _ := filepath.Glob(filepath.Join(h.ledger.Dir(), "*", "past-*.json"))
	if len(past) != keptEntries {
		t.Errorf("%d old entries are kept, want %d", len(past), keptEntries)
	}
	for _, path := range past {
		f := h.ledger.folder(h.Target)
		e, err := f.read(filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		if _, kept := f.before(e); !kept {
			t.Errorf("the copy of %s was pruned", path)
		}
	}
	if most := 2*keptEntries + 6; files > most {
		t.Errorf("%d files in the ledger after many switches, want at most %d", files, most)
	}
}

func FuzzLocalAndBack(f *testing.F) {
	for _, s := range settings {
		if len(s.file) < 4096 {
			f.Add([]byte(s.file))
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		doc, err := parse(file)
		if err != nil {
			var syntax *syntaxError
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 {
				t.Fatalf("no position in %v", err)
			}
			return
		}
		if string(doc.bytes()) != string(file) && !doc.blank {
			t.Fatalf("an unedited file changed: %q", doc.bytes())
		}
		e := entry{Target: Target{File: "settings.json"}, Route: Local}
		values := Values(Local, destination)
		values[agentKey] = "lean"
		local, err := e.edit(file, file, values, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Editing twice must say the same as editing once, and taking the keys out leaves no trace of them.
		again, err := parse(local)
		if err != nil {
			t.Fatalf("the edited file is broken: %v\n%q", err, local)
		}
		for name, want := range values {
			if v := again.value(name); v == nil || *v != want {
				t.Fatalf("%s is not set", name)
			}
		}
		for _, k := range e.Keys {
			if k.Old == nil {
				again.unset(k.Name)
			} else {
				again.set(k.Name, k.Raw)
			}
		}
		if e.MadeEnv {
			again.dropEmptyEnv()
		}
		undone, err := parse(again.bytes())
		if err != nil {
			t.Fatalf("undoing key by key broke the file: %v\n%q", err, again.bytes())
		}
		if len(undone.variables()) != len(doc.variables()) {
			t.Fatalf("undone: %v, was: %v", undone.variables(), doc.variables())
		}
	})
}
