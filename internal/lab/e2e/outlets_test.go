//go:build e2e && linux

package e2e

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
)

// undecided lists, reason by reason, what decides nothing: "reason: names".
//
//go:embed undecided.txt
var undecided string

// Which names look like routing.
var (
	routingVariable = regexp.MustCompile(`^ANTHROPIC_|^CLAUDE_CODE_USE_|^CLAUDE_CODE_.*(MODEL|BASE_URL|SOCKET|PROVIDER|MANAGED|RESTRICT|GATEWAY|HOST_AUTH|HOST_CREDS)`)
	routingFlag     = regexp.MustCompile(`setting|model|restrict|remote|cloud|teleport|environment|bare|safe|sdk|gateway|provider|host|api|url|socket|proxy|profile|config|desktop|auth|web|pool|advisor`)
)

// Every variable and launch flag of the newest Claude Code that looks like routing is in the
// table of service/claude, or is known to decide nothing.
func TestTheNewestClaudeCodeHasNoUnknownOutlets(t *testing.T) {
	program, err := lab.Claude(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	binary := mapped(t, program)
	harmless := map[string]bool{}
	for line := range strings.Lines(undecided) {
		_, names, ok := strings.Cut(line, ": ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			if harmless[name] || claude.Decides(name) {
				t.Errorf("%s is listed twice", name)
			}
			harmless[name] = true
		}
	}
	variables := words(binary, "ANTHROPIC_", `"'.,{(`+"`", `"':;),=?|&!]} .`+"`", upper)
	variables = append(variables, words(binary, "CLAUDE_CODE_", `"'.,{(`+"`", `"':;),=?|&!]} .`+"`", upper)...)
	variables = slices.DeleteFunc(variables, func(name string) bool { return strings.HasSuffix(name, "_") || !routingVariable.MatchString(name) })
	flags := words(binary, "--", `"`, `" `, lower)
	flags = slices.DeleteFunc(flags, func(name string) bool { return !routingFlag.MatchString(name) })
	for _, must := range []string{"ANTHROPIC_BASE_URL", "CLAUDE_CODE_USE_VERTEX", "--settings", "--model"} {
		if !slices.Contains(variables, must) && !slices.Contains(flags, must) {
			t.Fatalf("%s was not found: the program is built in another way, and this test must learn to read it", must)
		}
	}
	t.Logf("%d variables, %d flags", len(variables), len(flags))
	for _, name := range append(variables, flags...) {
		if !claude.Decides(name) && !claude.Owned(name) && !harmless[name] {
			t.Errorf("%s is new: find out whether it decides where requests go, then add it to service/claude/outlets.go or to undecided.txt", name)
		}
	}
}

// After a switch, with the outlet in the shell that switches and starts claude: what the table
// says is cured leads to the local model, what it says goes past the settings does not, and
// is named.
func TestTheRealClaudeCodeGoesByTheTable(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{}\n")
	plain := append(u.environ, "PATH="+filepath.Dir(u.claude)+":"+os.Getenv("PATH"))
	help, err := exec.CommandContext(u.ctx, u.claude, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(u.home, "nobody.sock")
	for _, tt := range []struct {
		environ, args string
		local         bool
		named         string
	}{
		{"CLAUDE_CODE_USE_ANTHROPIC_AWS=1", "", true, ""},
		{"CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD=1", "", true, ""},
		{"CLAUDE_CODE_USE_BEDROCK=1", "", true, ""},
		{"CLAUDE_CODE_USE_FOUNDRY=1", "", true, ""},
		{"CLAUDE_CODE_USE_GATEWAY=1", "", true, ""},
		{"CLAUDE_CODE_USE_MANTLE=1", "", true, ""},
		{"CLAUDE_CODE_USE_VERTEX=1", "", true, ""},
		{"ANTHROPIC_MODEL=claude-opus-4-6", "", true, ""}, // without the gateway such a name is refused
		{"ANTHROPIC_DEFAULT_MODEL=claude-opus-4-6", "", true, ""},
		{"ANTHROPIC_API_KEY=sk-x ANTHROPIC_PROFILE=x ANTHROPIC_IDENTITY_TOKEN=x CLAUDE_CODE_OAUTH_TOKEN=x", "", true, ""},
		{"CLAUDE_CODE_MANAGED_SETTINGS_PATH=" + u.home, "--bare", true, ""},
		{"", "--safe-mode", true, ""},
		{"ANTHROPIC_UNIX_SOCKET=" + socket, "", false, "ANTHROPIC_UNIX_SOCKET"},
		{"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1", "", false, "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"},
		{"CLAUDE_CODE_HOST_AUTH_ENV_VAR=X", "", false, "CLAUDE_CODE_HOST_AUTH_ENV_VAR"},
		{"CLAUDE_CODE_RESTRICTED=1", "", false, "CLAUDE_CODE_RESTRICTED"},
		{"", "--restricted", false, ""},
	} {
		if strings.Contains(strings.ToLower(tt.environ+tt.args), "restricted") && !bytes.Contains(help, []byte("--restricted")) {
			continue // 2.1.197 does not know it
		}
		u.environ = append(slices.Clone(plain), strings.Fields(tt.environ)...)
		said := u.must("local", "tiny")
		if strings.Contains(said, "in this environment") != (tt.named != "") || !strings.Contains(said, tt.named) {
			t.Errorf("%s: the switch says\n%s", tt.environ, said)
		}
		before := u.asked.Load()
		cmd := exec.CommandContext(u.ctx, u.claude, append(strings.Fields(tt.args), "-p", "hello", "--tools", "Bash")...)
		cmd.Env, cmd.Dir = append(slices.Clone(u.environ), "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_MAX_RETRIES=0"), u.home
		out, err := cmd.CombinedOutput()
		if got := u.asked.Load() > before && err == nil; got != tt.local {
			t.Errorf("%s claude %s: to the local model: %t\n%s", tt.environ, tt.args, got, out)
		}
		if tt.named != "" { // run takes it away
			if out := u.must("run", "--model", "tiny", "--", "-p", "hello", "--tools", "Bash"); !strings.Contains(out, gguf.Answer) {
				t.Errorf("%s switchyard run: %s", tt.environ, out)
			}
		}
		u.must("cloud")
		if got := u.read(); got != "{}\n" {
			t.Fatalf("%s: the settings afterwards are %s", tt.environ, got)
		}
	}
}

// A running session's /model has the local model by name, size and context, and Anthropic's
// again after the way back, for which variables stay "": who holds them is named.
func TestTheLocalModelByNameInClaudeCode(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{}\n")
	u.must("local", "tiny")
	u.openSession()
	u.Cleanup(func() { u.tmux("kill-server") })
	choose := func(want string) {
		t.Helper()
		u.tmux("send-keys", "-l", "/model")
		u.until("the command", func() bool { return strings.Contains(u.screen(), "/model") })
		u.tmux("send-keys", "Enter")
		u.until(want+" in the list", func() bool { return strings.Contains(u.screen(), "Select model") && strings.Contains(u.screen(), want) })
	}
	choose("local · ")
	if screen := u.screen(); strings.Count(screen, "ai/tiny ") < 4 || !strings.Contains(screen, "256K tokens of context") {
		t.Errorf("the list is\n%s", screen)
	}
	u.tmux("send-keys", "Escape")
	u.until("an end of the list", func() bool { return !strings.Contains(u.screen(), "Select model") })
	if len(u.sessions()) != 1 {
		t.Fatalf("the session ended\n%s", u.screen())
	}
	u.must("cloud")
	held := regexp.MustCompile(`variables stay empty until 1 session ends: process \d+ in `)
	if text := u.must("status"); !held.MatchString(text) {
		t.Errorf("status says\n%s", text)
	}
	if _, text := u.switchyard("doctor"); !strings.Contains(text, `kept at "" until 1 session ends (process `) {
		t.Errorf("doctor says\n%s", text)
	}
	choose("Sonnet")
	if screen := u.screen(); strings.Contains(screen, "local · ") {
		t.Errorf("the list is\n%s", screen)
	}
}

func upper(b byte) bool { return b == '_' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' }

func lower(b byte) bool { return b == '-' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

// words finds the different words of the source text in a program that begin with prefix: a
// byte of before stands before them, a byte of after behind.
func words(program []byte, prefix, before, after string, in func(byte) bool) (found []string) {
	seen := map[string]bool{}
	for rest, at := program, 0; ; rest = rest[at:] {
		at = bytes.Index(rest, []byte(prefix))
		if at < 0 {
			slices.Sort(found)
			return found
		}
		end := at + len(prefix)
		for end < len(rest) && in(rest[end]) {
			end++
		}
		word := rest[at:end]
		// A flag is defined as ("--name: other strings with dashes are not Claude Code's own.
		opens := at > 0 && strings.IndexByte(before, rest[at-1]) >= 0 && (prefix != "--" || at > 1 && rest[at-2] == '(')
		if opens && end < len(rest) && len(word) > len(prefix) && strings.IndexByte(after, rest[end]) >= 0 && !seen[string(word)] {
			seen[string(word)] = true
			found = append(found, string(word))
		}
		at = end
	}
}

// mapped is the file behind npm's link: the program, or of older versions the script.
func mapped(t *testing.T, program string) []byte {
	t.Helper()
	path, err := filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(data) })
	return data
}
