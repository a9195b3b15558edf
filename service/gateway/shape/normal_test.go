package shape

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func normalised(t testing.TB, body string, blind bool) string {
	t.Helper()
	r, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	shaped, err := r.For(Model{Tag: "docker.io/ai/m:latest", Needs: Needs{Blind: blind}})
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
	const image = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"x"}}`
	tests := []struct {
		name, in, want string
		blind          bool
	}{
		{"plain", `{"model":"claude-opus-4-6","messages":[{"role":"user","content":"hi"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`, false},
		{"as Claude Code sends it", `{"model":"x","messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]},{"role":"system","content":"agents: \"a\"\n"}],"stream":true}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"<system-reminder>\nagents: \"a\"\n\n</system-reminder>"}]}],"stream":true}`, false},
		{"a system message as a list says the same", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"s","cache_control":{}}]},{"role":"assistant","content":"a"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"<system-reminder>\ns\n</system-reminder>"}]},{"role":"assistant","content":"a"}]}`, false},
		{"after an assistant it opens the next turn", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"r"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":"a"},{"role":"user","content":[{"type":"text","text":"<system-reminder>\ns\n</system-reminder>"},{"type":"text","text":"r"}]}]}`, false},
		{"at the very beginning it may stay", `{"model":"x","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"q"}]}]}`, false},
		{"unless there is a system prompt, wherever it stands", `{"model":"x","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"system":"p"}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\ns\n</system-reminder>"},{"type":"text","text":"q"}]}],"system":"p"}`, false},
		{"text after a tool's result is not put before it", `{"model":"x","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r","cache_control":{}},{"type":"text","text":"next"}]},{"role":"system","content":"s"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]},{"role":"user","content":[{"type":"text","text":"next"},{"type":"text","text":"<system-reminder>\ns\n</system-reminder>"}]}]}`, false},
		{"the billing line goes", `{"model":"x","system":[{"type":"text","text":"x-anthropic-billing-header: cc=1;"},{"type":"text","text":"p","cache_control":{}}],"messages":[]}`,
			`{"model":"docker.io/ai/m:latest","system":[{"type":"text","text":"p"}],"messages":[]}`, false},
		{"also out of a text", `{"model":"x","system":"x-anthropic-billing-header: cc=1;\nYou help.","messages":[]}`,
			`{"model":"docker.io/ai/m:latest","system":"You help.","messages":[]}`, false},
		{"a system prompt of it alone is none", `{"model":"x","system":"x-anthropic-billing-header: cc=1;","messages":[{"role":"system","content":"s"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"system","content":"s"}]}`, false},
		{"what only Anthropic's servers know", `{"model":"x","metadata":{"user_id":"me"},"context_management":{},"safeguards":[],"messages":[],"thinking":{"type":"adaptive"},"max_tokens":7,"chat_template_kwargs":{"enable_thinking":false},"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"Bash","input_schema":{},"cache_control":{}}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[],"thinking":{"type":"adaptive"},"max_tokens":7,"chat_template_kwargs":{"enable_thinking":false},"tools":[{"name":"Bash","input_schema":{}}]}`, false},
		{"tools that are all Anthropic's", `{"model":"x","messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[]}`, false},
		{"a model that sees", `{"model":"x","messages":[{"role":"user","content":[` + image + `]}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[` + image + `]}]}`, false},
		{"a blind model", `{"model":"x","messages":[{"role":"user","content":[` + image + `,{"type":"tool_result","tool_use_id":"1","content":[` + image + `]}]}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"[an image was here; this model sees none]"},{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"[an image was here; this model sees none]"}]}]}]}`, true},
		{"a document", `{"model":"x","messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"x"}},{"type":"document","source":{"type":"text","data":"t"}}]}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"[a document was here; local models read text only]"},{"type":"document","source":{"type":"text","data":"t"}}]}]}`, false},
		{"half an emoji, a name twice, spaces", "{ \"model\" : \"x\", \"messages\" : [ {\"role\":\"user\", \"role\":\"user\", \"content\" : \"\\ud83d\" } ] }",
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"\ud83d"}]}]}`, false},
		{"no system words", `{"model":"x","messages":[{"role":"user","content":"q"},{"role":"system","content":[]},{"role":"system","content":null}]}`,
			`{"model":"docker.io/ai/m:latest","messages":[{"role":"user","content":[{"type":"text","text":"q"}]}]}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := normalised(t, tt.in, tt.blind); got != tt.want {
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
		before, after := normalised(t, turns[i], false), normalised(t, turns[i+1], false)
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

type said struct{ role, text string }

// words lists what each role says in a request, reminders unwrapped, in the order in
// which llama.cpp's templates will have it.
func words(t *testing.T, body []byte) (all []said) {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	add := func(role any, text any) {
		s, ok := text.(string)
		if !ok {
			return
		}
		name, _ := role.(string)
		if inner, wrapped := strings.CutPrefix(s, "<system-reminder>\n"); wrapped {
			s = strings.TrimSuffix(inner, "\n</system-reminder>")
		}
		if name == "system" {
			name = "user" // folded
		}
		all = append(all, said{name, s})
	}
	for _, m := range messagesOf(r) {
		switch content := m["content"].(type) {
		case string:
			add(m["role"], content)
		case []any:
			for _, b := range content {
				if block, ok := b.(map[string]any); ok && block["type"] != "document" {
					add(m["role"], block["text"])
				}
			}
		}
	}
	return all
}

func messagesOf(request map[string]any) (all []map[string]any) {
	list, _ := request["messages"].([]any)
	for _, m := range list {
		if message, ok := m.(map[string]any); ok {
			all = append(all, message)
		}
	}
	return all
}

func FuzzFolding(f *testing.F) {
	for _, turn := range turns {
		f.Add([]byte(turn))
	}
	f.Add([]byte(`{"model":"x","messages":[{"role":"assistant","content":null},{"role":"system","content":"s"},{"role":"system","content":[{"type":"text","text":"t"},{"type":"image"}]},{"role":"user","content":[]}]}`))
	f.Add([]byte(`{"model":"x","messages":[{"role":"system"},{"role":"tool","content":[1,[],"\ud800"]}],"system":["x"],"tools":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		if err != nil {
			return
		}
		out, err := r.For(Model{Tag: "m"})
		if err != nil {
			return
		}
		got := out.Body.Bytes()
		before, after := words(t, body), words(t, got)
		if !slices.Equal(before, after) {
			t.Errorf("words changed\n%q\n%q\n%s", before, after, got)
		}
		var shape map[string]any
		if err := json.Unmarshal(got, &shape); err != nil {
			t.Fatal(err)
		}
		for i, m := range messagesOf(shape) {
			if m["role"] == "system" && (i > 0 || shape["system"] != nil) {
				t.Errorf("a system message in the midst: %s", got)
			}
		}
		again, err := Parse(got)
		if err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		if twice, err := again.For(Model{Tag: "m"}); err != nil || !bytes.Equal(twice.Body.Bytes(), got) {
			t.Errorf("not the same the second time, %v\n%s\n%s", err, got, twice.Body.Bytes())
		}
	})
}
