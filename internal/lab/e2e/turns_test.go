//go:build e2e && linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/gateway"
)

// oldest is the oldest Claude Code that Switchyard looks after.
const oldest = "2.1.197"

// longSessions are the templates and versions of Claude Code that a whole session is
// held with; TEST_SESSIONS, such as "nemo/latest,llama31/2.1.197", names others.
func longSessions() (all [][2]string) {
	names := os.Getenv("TEST_SESSIONS")
	if names == "" {
		names = "strict/latest,mistral/latest,nemo/latest,llama31/latest,nemo/" + oldest
	}
	for name := range strings.SplitSeq(names, ",") {
		template, version, _ := strings.Cut(name, "/")
		all = append(all, [2]string{template, version})
	}
	return all
}

// A day's session, with templates that take little: tools, sixty ugly ones of a server, an
// image, a PDF, a text, two calls at once, a subagent, an interruption, another model, a
// compaction, its resumption, and a history that began in the cloud.
func TestALongSession(t *testing.T) {
	for _, of := range longSessions() {
		t.Run(of[0]+" "+of[1], func(t *testing.T) {
			t.Parallel()
			longSession(t, of[0], of[1])
		})
	}
}

func longSession(t *testing.T, template, version string) {
	u := engineUser(t)
	var err error
	if u.claude, err = lab.ClaudeVersion(u.ctx, version); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := lab.Tokenizer(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	server, err := lab.MCP(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	arguments := "[]"
	if version == oldest {
		arguments = `["objects"]`
	}
	s := &session{user: u}
	u.add("ai/"+template, gguf.Model{Template: template, Tokenizer: tokenizer, Context: 131072, Calls: s.calls()})
	u.write(u.settings, `{"permissions":{"allow":["Bash","Read","Agent","Task","mcp__ugly"]}}`)
	u.write(filepath.Join(u.home, ".claude.json"), fmt.Sprintf(
		`{"hasCompletedOnboarding":true,"mcpServers":{"ugly":{"type":"stdio","command":%q,"args":%s}},"projects":{%q:{"hasTrustDialogAccepted":true,"hasCompletedProjectOnboarding":true}}}`, server, arguments, u.home))
	s.files()
	u.serving()
	u.must("local", template)
	s.talk(template)
	s.fromTheCloud(template)
	s.judge()
}

// session is one with the real Claude Code, as its transcript tells.
type session struct{ *user }

// calls are what the model does when it is asked, in the words of talk.
func (s *session) calls() []gguf.Call {
	read := func(name string) gguf.Use {
		return gguf.Use{Name: "Read", Input: fmt.Sprintf(`{"file_path": %q}`, filepath.Join(s.home, name))}
	}
	bash := func(command string) gguf.Use {
		return gguf.Use{Name: "Bash", Input: fmt.Sprintf(`{"command": %q, "description": "runs"}`, command)}
	}
	return append(gguf.UsualCalls(),
		gguf.Call{When: "Use the server", Tools: []gguf.Use{{Name: "mcp__ugly__ugly17", Input: `{"x": "y"}`}}},
		gguf.Call{When: "Look at the picture", Tools: []gguf.Use{read("picture.png")}},
		gguf.Call{When: "Look at the paper", Tools: []gguf.Use{read("paper.pdf")}},
		gguf.Call{When: "Look at the notes", Tools: []gguf.Use{read("notes.txt")}},
		gguf.Call{When: "Do two things", Tools: []gguf.Use{bash("echo one-of-two"), bash("echo two-of-two")}},
		gguf.Call{When: "Ask an agent", Tools: []gguf.Use{{Name: "Agent", Input: `{"description": "greets", "prompt": "Greet me.", "subagent_type": "general-purpose"}`}}},
		gguf.Call{When: "Take your time", Tools: []gguf.Use{bash("cat " + filepath.Join(s.home, "pipe"))}},
	)
}

func (s *session) files() {
	s.Helper()
	png, err := base64.StdEncoding.DecodeString(dot)
	if err != nil {
		s.Fatal(err)
	}
	s.write(filepath.Join(s.home, "picture.png"), string(png))
	s.write(filepath.Join(s.home, "notes.txt"), "puffins and razorbills\n")
	s.write(filepath.Join(s.home, "paper.pdf"), "%PDF-1.1\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R/Size 4>>\n%%EOF\n")
}

// line is one of a transcript.
type line struct {
	Type, Subtype string
	Sidechain     bool `json:"isSidechain"`
	Message       struct {
		Role    string
		Content json.RawMessage
	}
}

// lines are those of the session itself.
func (s *session) lines() (all []line) {
	files, _ := filepath.Glob(filepath.Join(s.home, ".claude", "projects", "*", "*.jsonl"))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for text := range strings.Lines(string(data)) {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && !l.Sidechain {
				all = append(all, l)
			}
		}
	}
	return all
}

// count counts the lines that hold some words.
func (s *session) count(kind, words string) (n int) {
	for _, l := range s.lines() {
		if (l.Type == kind || l.Subtype == kind) && strings.Contains(string(l.Message.Content), words) {
			n++
		}
	}
	return n
}

// idle reports whether the session waits for its person; old versions do not tell.
func (s *session) idle() bool {
	for _, file := range s.sessions() {
		data, _ := os.ReadFile(file)
		var record struct{ Status string }
		if json.Unmarshal(data, &record) == nil && record.Status != "" && record.Status != "idle" {
			return false
		}
	}
	return true
}

// turn says something and waits for the model's words.
func (s *session) turn(prompt string, saw ...string) {
	s.Helper()
	s.until("rest before "+prompt, s.idle)
	before := s.count("assistant", gguf.Answer)
	seen := make([]int, len(saw))
	for i, words := range saw {
		seen[i] = s.count("user", words)
	}
	s.say(prompt, func() bool { return s.count("assistant", gguf.Answer) > before })
	for i, words := range saw {
		if s.count("user", words) == seen[i] {
			s.Errorf("%s: no result says %q", prompt, words)
		}
	}
}

func (s *session) open(args string) {
	s.Helper()
	s.openWith("--permission-mode default --tools Bash,Read,Agent " + args)
}

// end ends claude, and its terminal.
func (s *session) end() {
	s.Helper()
	s.closeSession()
	s.tmux("kill-server")
	s.until("the terminal's end", func() bool { return strings.Contains(s.tmux("list-sessions"), "no server") })
}

// talk is the session.
func (s *session) talk(template string) {
	s.Helper()
	err := syscall.Mkfifo(filepath.Join(s.home, "pipe"), 0o600)
	if err != nil {
		s.Fatal(err)
	}
	s.open("")
	s.turn("hello")
	s.turn("Call the tool Bash", "the-tool-ran")
	s.turn("Use the server", "I am ugly17")
	s.turn("Look at the picture", "image/png")
	s.turn("Look at the paper")
	s.turn("Look at the notes", "razorbills")
	if template == "llama31" { // it makes one call at a time
		s.turn("Do two things", "one-of-two")
	} else {
		s.turn("Do two things", "one-of-two", "two-of-two")
	}
	s.turn("Ask an agent")
	s.until("rest", s.idle)
	var pipe *os.File
	s.say("Take your time", func() bool {
		pipe, err = os.OpenFile(filepath.Join(s.home, "pipe"), os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails while nobody reads
		return err == nil
	})
	defer pipe.Close()
	s.tmux("send-keys", "Escape") // twice would open another menu
	s.until("the interruption", func() bool {
		return strings.Contains(s.screen(), "nterrupted") || s.count("user", "Request interrupted") > 0
	})
	s.turn("never mind")
	s.say("/model sonnet", func() bool {
		return strings.Contains(s.screen(), "Set model") || strings.Contains(s.screen(), "Kept model")
	})
	s.turn("hello again")
	s.say("/compact", func() bool { return s.count("compact_boundary", "") > 0 })
	s.turn("and after that")
	s.clean()
	s.end()
	s.open("--continue")
	s.turn("back again")
	s.clean()
	s.end()
}

// clean fails on an error that the session shows.
func (s *session) clean() {
	s.Helper()
	if screen := s.screen(); strings.Contains(screen, "API Error") || strings.Contains(screen, "Retrying") {
		s.Errorf("it shows\n%s", screen)
	}
	for _, l := range s.lines() {
		if l.Type == "assistant" && strings.Contains(string(l.Message.Content), "API Error") {
			s.Errorf("it says %s", l.Message.Content)
		}
	}
}

// fromTheCloud goes on with a session whose first turns Anthropic answered.
func (s *session) fromTheCloud(template string) {
	s.Helper()
	files, err := filepath.Glob(filepath.Join(s.home, ".claude", "projects", "*"))
	if err != nil || len(files) != 1 {
		s.Fatalf("projects: %q %v", files, err)
	}
	const id = "0b1e5f4a-6f6b-4f0e-9a52-2f8f3a0c7d11"
	var text strings.Builder
	parent := "null"
	for i, message := range cloudHistory() {
		kind, rest := "user", ""
		if strings.Contains(message, `"assistant"`) {
			kind, rest = "assistant", fmt.Sprintf(`,"requestId":"req_%d"`, i)
		}
		uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		fmt.Fprintf(&text, `{"parentUuid":%s,"isSidechain":false,"userType":"external","cwd":%q,"sessionId":%q,"version":"2.1.330","gitBranch":"","type":%q,"message":%s,"uuid":%q,"timestamp":"2026-11-20T10:00:%02d.000Z"%s}`+"\n",
			parent, s.home, id, kind, message, uuid, i, rest)
		parent = `"` + uuid + `"`
	}
	s.write(filepath.Join(files[0], id+".jsonl"), text.String())
	said, err := s.claudePrints("-p", "and here", "--resume", id, "--tools", "Bash,Read,Agent")
	if err != nil || !strings.Contains(said, gguf.Answer) {
		s.Errorf("the history of the cloud: %q, %v", said, err)
	}
}

// cloudHistory has thoughts with signatures, two calls at once, a search at Anthropic, an image.
func cloudHistory() []string {
	opus := func(i int, content, stop string) string {
		return fmt.Sprintf(`{"id":"msg_%02d","type":"message","role":"assistant","model":"claude-opus-4-6","content":%s,"stop_reason":%q,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":9}}`, i, content, stop)
	}
	return []string{
		asks(`"Where do puffins nest?"`),
		opus(1, list(`{"type":"thinking","thinking":"Cliffs, I think.","signature":"c2lnbmF0dXJl"}`, txt("I look."), use("toolu_01AbCdEfGhIjKlMnOpQrStUv", "Bash", `{"command":"ls"}`), use("toolu_02AbCdEfGhIjKlMnOpQrStUv", "Read", `{"file_path":"/tmp/none"}`)), "tool_use"),
		asks(list(gives("toolu_01AbCdEfGhIjKlMnOpQrStUv", `"cliffs.txt"`), `{"type":"tool_result","tool_use_id":"toolu_02AbCdEfGhIjKlMnOpQrStUv","is_error":true,"content":"no such file"}`)),
		opus(3, list(`{"type":"redacted_thinking","data":"b3ds"}`, `{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"puffins"}}`,
			`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"Puffins","url":"https://example.invalid/","encrypted_content":"AAAA","page_age":"1 day"}]}`, txt("On cliffs.")), "end_turn"),
		asks(list(picture(pixel), txt("Is this one?"))),
		opus(5, list(txt("It is.")), "end_turn"),
	}
}

// judge looks at what the gateway served: nothing failed, so nothing was asked twice.
func (s *session) judge() {
	s.Helper()
	requests := s.requests()
	left, ofAgents := 0, 0
	for _, r := range requests {
		switch {
		case r.Error == gateway.ClientGone && left == 0: // the interruption
			left++
		case r.Status != 200 || r.Error != "":
			s.Errorf("%+v", r)
		case r.AgentID != "":
			ofAgents++
		}
	}
	if ofAgents == 0 {
		s.Error("no request of a subagent")
	}
	s.Logf("%d requests, the greatest of %d tokens", len(requests), slices.MaxFunc(requests, func(a, b gateway.Record) int { return a.InputTokens - b.InputTokens }).InputTokens)
}
