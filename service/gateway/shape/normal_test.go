package shape

import (
	"strings"
	"testing"
)

func normalised(t testing.TB, body string) string {
	t.Helper()
	r, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	shaped, err := r.For(Model{Tag: "docker.io/ai/m:latest"})
	out := shaped.Body
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if int64(len(out.Bytes())) != out.Size() {
		t.Errorf("the size is %d, the document has %d bytes", out.Size(), len(out.Bytes()))
	}
	return string(out.Bytes())
}

func TestNormalise(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"plain", `{"model":"claude-opus-4-6","messages":[{"role":"user","content":"hi"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"hi"}]}`},
		{"as Claude Code sends it", `{"model":"x","messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]},{"role":"system","content":"agents: \"a\"\n"}],"stream":true}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"q\n<system-reminder>\nagents: \"a\"\n\n</system-reminder>"}],"stream":true}`},
		{"a system message as a list says the same", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"s","cache_control":{}}]},{"role":"assistant","content":"a"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"q\n<system-reminder>\ns\n</system-reminder>"},{"role":"assistant","content":"a"}]}`},
		{"after an assistant it opens the next turn", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"r"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"<system-reminder>\ns\n</system-reminder>\nr"}]}`},
		{"at the very beginning it may stay", `{"model":"x","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]}`},
		{"unless there is a system prompt, wherever it stands", `{"model":"x","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"system":"p"}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"<system-reminder>\ns\n</system-reminder>\nq"}],"system":"p"}`},
		{"the billing line goes", `{"model":"x","system":[{"type":"text","text":"x-anthropic-billing-header: cc=1;"},{"type":"text","text":"p","cache_control":{}}],"messages":[]}`,
			`{"model":"docker.io/ai/m:latest","system":"p","messages":[]}`},
		{"also out of a text", `{"model":"x","system":"x-anthropic-billing-header: cc=1;\nYou help.","messages":[]}`,
			`{"model":"docker.io/ai/m:latest","system":"You help.","messages":[]}`},
		{"a system prompt of it alone is none", `{"model":"x","system":"x-anthropic-billing-header: cc=1;","messages":[{"role":"system","content":"s"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"system","content":"s"},{"role":"user","content":"(no text)"}]}`},
		{"what only Anthropic's servers know", `{"model":"x","metadata":{"user_id":"me"},"context_management":{},"safeguards":[],"messages":[],"thinking":{"type":"adaptive"},"max_tokens":7,"chat_template_kwargs":{"enable_thinking":false},"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"Bash","input_schema":{},"cache_control":{}}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[],"thinking":{"type":"adaptive"},"max_tokens":7,"chat_template_kwargs":{"enable_thinking":false},"tools":[{"name":"Bash","input_schema":{"type":"object","properties":{},"additionalProperties":true}}],"system":"The tool web_search runs on Anthropic's servers and cannot be used here. Where it would be needed, say so: do not make up what it would return."}`},
		{"half an emoji, a name twice, spaces", "{ \"model\" : \"x\", \"messages\" : [ {\"role\":\"user\", \"role\":\"user\", \"content\" : \"\\ud83d\" } ] }",
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"�"}]}`},
		{"no system words", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"system","content":[]},{"role":"system","content":null}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":"q"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := normalised(t, tt.in); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, body := range []string{``, `x`, `[]`, `{`, `{"model":"x"}`, `{"messages":[]}`, `{"model":1,"messages":[]}`, `{"model":"x","messages":{}}`, `{"model":"x","messages":[]} {}`} {
		if r, err := Parse([]byte(body)); err == nil {
			t.Errorf("%s was taken as %+v", body, r)
		}
	}
}

// turns are a session's requests as Claude Code was seen to send them (2.1.197
// and 2.1.330): the cache mark moves on, and the same message is now a text, now
// a list.
var turns = []string{
	`{"model":"claude-opus-4-6","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday\n</system-reminder>"},{"type":"text","text":"first"}]},{"role":"system","content":[{"type":"text","text":"# Environment","cache_control":{"type":"ephemeral"}}]}],"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.a1;"},{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"Bash","input_schema":{"type":"object"}}],"metadata":{"user_id":"{\"session_id\":\"s\"}"},"stream":true}`,
	`{"model":"claude-opus-4-6","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday\n</system-reminder>"},{"type":"text","text":"first"}]},{"role":"system","content":"# Environment"},{"role":"assistant","content":[{"type":"text","text":"answer"}]},{"role":"user","content":[{"type":"text","text":"use a tool","cache_control":{"type":"ephemeral"}}]}],"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.b2;"},{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"Bash","input_schema":{"type":"object"}}],"metadata":{"user_id":"{\"session_id\":\"s\"}"},"stream":true}`,
	`{"model":"claude-opus-4-6","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nToday\n</system-reminder>"},{"type":"text","text":"first"}]},{"role":"system","content":"# Environment"},{"role":"assistant","content":[{"type":"text","text":"answer"}]},{"role":"user","content":"use a tool"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"a b","is_error":false,"cache_control":{"type":"ephemeral"}}]},{"role":"system","content":"A file changed."}],"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.c3;"},{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"Bash","input_schema":{"type":"object"}}],"metadata":{"user_id":"{\"session_id\":\"s\"}"},"stream":true}`,
}

// A prefix that stays is worth minutes: the next turn's request begins with the
// bytes of the previous one, up to the end of its conversation.
func TestTheNextTurnBeginsWithTheSameBytes(t *testing.T) {
	for i := range len(turns) - 1 {
		before, after := normalised(t, turns[i]), normalised(t, turns[i+1])
		conversation, _, found := strings.Cut(before, `],"system"`)
		if !found || !strings.HasPrefix(after, conversation) {
			t.Errorf("turn %d\n%s\nturn %d\n%s", i, conversation, i+1, after)
		}
		_, rest, _ := strings.Cut(before, `],"system"`)
		if !strings.HasSuffix(after, rest) {
			t.Errorf("system prompt and tools changed: %s", after)
		}
	}
}
