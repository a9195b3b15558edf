package shape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// folded writes a conversation, and returns its messages and what was noted.
func folded(t testing.TB, messages string, needs Needs) (string, []Note) {
	t.Helper()
	r, err := Parse([]byte(`{"model":"x","messages":` + messages + `}`))
	if err != nil {
		t.Fatalf("%v in %s", err, messages)
	}
	out, err := r.For(Model{Tag: "m", Needs: needs})
	if err != nil {
		t.Fatalf("%v in %s", err, messages)
	}
	got := string(out.Body.Bytes())
	if int64(len(got)) != out.Body.Size() || !json.Valid([]byte(got)) {
		t.Errorf("%d bytes, the size is %d: %s", len(got), out.Body.Size(), got)
	}
	return strings.TrimSuffix(strings.TrimPrefix(got, `{"model":"m","messages":`), "}"), out.Notes
}

// The short hand of these tests.

func says(role, text string) string { return `{"role":"` + role + `","content":` + quoted(text) + `}` }

func blocks(role string, all ...string) string {
	return `{"role":"` + role + `","content":[` + strings.Join(all, ",") + `]}`
}

func texts(text string) string { return `{"type":"text","text":` + quoted(text) + `}` }

func calls(id string) string {
	return `{"type":"tool_use","id":` + quoted(id) + `,"name":"Bash","input":{"command":"ls"}}`
}

func answers(id, text string) string {
	return `{"type":"tool_result","tool_use_id":` + quoted(id) + `,"content":` + quoted(text) + `}`
}

func talk(messages ...string) string { return "[" + strings.Join(messages, ",") + "]" }

func quoted(text string) string { return string(document.Quote(text)) }

func TestFolding(t *testing.T) {
	hi, yes, last := says("user", "hi"), says("assistant", "yes"), says("user", "go")
	loop := talk(hi, blocks("assistant", texts("I look."), calls("1"), calls("2")), blocks("user", answers("1", "a"), answers("2", "b")), yes)
	tests := map[string]struct {
		in, want string
		needs    Needs
	}{
		"in order":             {in: loop, want: loop},
		"a string":             {in: `[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"}]`, want: talk(hi, yes)},
		"two of the user":      {in: talk(hi, last), want: talk(says("user", "hi\ngo"))},
		"two of the assistant": {in: talk(hi, yes, blocks("assistant", calls("1")), blocks("user", answers("1", "a"))), want: talk(hi, blocks("assistant", texts("yes"), calls("1")), blocks("user", answers("1", "a")))},
		"a role that is none":  {in: talk(hi, says("developer", "d")), want: talk(says("user", "hi\nd"))},
		"an object for a list": {in: `[{"role":"user","content":{"type":"text","text":"hi"}}]`, want: talk(hi)},
		"words in a list":      {in: `[{"role":"user","content":["hi",7]}]`, want: talk(says("user", "hi\n7"))},
		"nothing else goes on": {in: `[{"role":"user","content":"hi","tool_calls":[1],"name":"n"}]`, want: talk(hi)},
		"nothing at all":       {in: `[]`, want: `[]`},

		"the assistant begins":                  {in: talk(yes, last), want: talk(says("user", "(the conversation goes on)"), yes, last)},
		"the assistant has thought only":        {in: talk(hi, blocks("assistant", `{"type":"thinking","thinking":"hm","signature":"s"}`), last), want: talk(hi, blocks("assistant", `{"type":"thinking","thinking":"hm"}`, texts("(nothing said)")), last)},
		"the assistant thought secretly":        {in: talk(hi, blocks("assistant", `{"type":"redacted_thinking","data":"ZGF0YQ=="}`), last), want: talk(hi, says("assistant", "(nothing said)"), last)},
		"the assistant is empty":                {in: talk(hi, `{"role":"assistant","content":[]}`, last), want: talk(hi, says("assistant", "(nothing said)"), last)},
		"the last one is empty":                 {in: talk(hi, `{"role":"assistant","content":""}`), want: talk(hi)},
		"the last one is begun":                 {in: talk(hi, says("assistant", "{")), want: talk(hi, says("assistant", "{"))},
		"the user is empty":                     {in: talk(says("user", ""), yes, last), want: talk(says("user", "(no text)"), yes, last)},
		"the user has null":                     {in: `[{"role":"user","content":null}]`, want: talk(says("user", "(no text)"))},
		"the user has no content":               {in: `[{"role":"user"}]`, want: talk(says("user", "(no text)"))},
		"empty texts are left out":              {in: talk(blocks("user", texts(""), `{"type":"text","text":null}`, texts("hi"))), want: talk(hi)},
		"only the system":                       {in: `[{"role":"system","content":"s"}]`, want: talk(`{"role":"system","content":"s"}`, says("user", "(no text)"))},
		"a reminder before the assistant":       {in: talk(hi, `{"role":"system","content":"s"}`, yes), want: talk(says("user", "hi\n<system-reminder>\ns\n</system-reminder>"), yes)},
		"a reminder between two assistants":     {in: talk(hi, yes, `{"role":"system","content":"s"}`, yes), want: talk(hi, yes, says("user", "<system-reminder>\ns\n</system-reminder>"), yes)},
		"a reminder after a result":             {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a")), `{"role":"system","content":"s"}`), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\n<system-reminder>\ns\n</system-reminder>")))},
		"a text after a result":                 {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a"), texts("b"), texts("c"))), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\n[the user:]\nb\nc")))},
		"a reminder of Claude Code's own":       {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a"), texts("<system-reminder>b</system-reminder>"), texts("c"))), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\n<system-reminder>b</system-reminder>\n[the user:]\nc")))},
		"a message after a result":              {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a")), last), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\n[the user:]\ngo")))},
		"a text before a result":                {in: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", texts("b"), answers("1", "a"), answers("2", "c"))), want: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "a"), answers("2", "c\n[the user:]\nb")))},
		"results in another order":              {in: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("2", "b"), answers("1", "a"))), want: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "a"), answers("2", "b")))},
		"results in two messages":               {in: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "a")), blocks("user", answers("2", "b"))), want: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "a"), answers("2", "b")))},
		"two calls of one id":                   {in: talk(hi, blocks("assistant", calls("1"), calls("1")), blocks("user", answers("1", "a"), answers("1", "b"))), want: talk(hi, blocks("assistant", calls("1"), calls("1")), blocks("user", answers("1", "a"), answers("1", "b")))},
		"a call without a result":               {in: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("2", "b")), yes), want: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "(no result)"), answers("2", "b")), yes)},
		"an open call at the end":               {in: talk(hi, blocks("assistant", calls("1"))), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "(no result)")))},
		"an open call, and words":               {in: talk(hi, blocks("assistant", calls("1")), last), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "(no result)\n[the user:]\ngo")))},
		"a result without a call":               {in: talk(hi, yes, blocks("user", answers("9", "a"), texts("b"))), want: talk(hi, yes, says("user", "[a tool answered:]\na\n[end of its answer]\nb"))},
		"a result of a call before":             {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a")), yes, blocks("user", answers("1", "b"))), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a")), yes, says("user", "[a tool answered:]\nb\n[end of its answer]"))},
		"a result twice":                        {in: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a"), answers("1", "b"))), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\n[the user:]\n[a tool answered:]\nb\n[end of its answer]")))},
		"a result at the very beginning":        {in: talk(blocks("user", answers("1", "a"))), want: talk(says("user", "[a tool answered:]\na\n[end of its answer]"))},
		"a result as a list":                    {in: talk(hi, blocks("assistant", calls("1")), blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"cache_control":{}}`)), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a\nb")))},
		"a result of nothing":                   {in: talk(hi, blocks("assistant", calls("1")), blocks("user", `{"type":"tool_result","tool_use_id":"1"}`)), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "")))},
		"a tool that failed":                    {in: talk(hi, blocks("assistant", calls("1")), blocks("user", `{"type":"tool_result","tool_use_id":"1","content":"no such file","is_error":true}`)), want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "[the tool failed]\nno such file")))},
		"an input that is null":                 {in: talk(hi, blocks("assistant", `{"type":"tool_use","id":"1","name":"Bash","input":null}`), blocks("user", answers("1", "a"))), want: talk(hi, blocks("assistant", `{"type":"tool_use","id":"1","name":"Bash","input":{}}`), blocks("user", answers("1", "a")))},
		"an input that is a text":               {in: talk(hi, blocks("assistant", `{"type":"tool_use","id":"1","name":"Bash","input":"ls"}`), blocks("user", answers("1", "a"))), want: talk(hi, blocks("assistant", `{"type":"tool_use","id":"1","name":"Bash","input":{"input":"ls"}}`), blocks("user", answers("1", "a")))},
		"a call of the user's":                  {in: talk(blocks("user", calls("1"))), want: talk(says("user", `[called the tool "Bash" with {"command":"ls"}]`))},
		"texts around a call":                   {in: talk(hi, blocks("assistant", texts("a"), calls("1"), texts("b")), blocks("user", answers("1", "c"))), want: talk(hi, blocks("assistant", texts("a\nb"), calls("1")), blocks("user", answers("1", "c")))},
		"one call at a time":                    {in: loop, needs: Needs{OneCall: true}, want: talk(hi, blocks("assistant", texts("I look."), calls("1")), blocks("user", answers("1", "a")), blocks("assistant", calls("2")), blocks("user", answers("2", "b")), yes)},
		"one call at a time, and words":         {in: talk(hi, blocks("assistant", calls("1"), calls("2")), blocks("user", answers("1", "a"), answers("2", "b"), texts("c"))), needs: Needs{OneCall: true}, want: talk(hi, blocks("assistant", calls("1")), blocks("user", answers("1", "a")), blocks("assistant", calls("2")), blocks("user", answers("2", "b\n[the user:]\nc")))},
		"short ids":                             {in: talk(hi, blocks("assistant", calls("toolu_01")), blocks("user", answers("toolu_01", "a"))), needs: Needs{ShortIDs: true}, want: talk(hi, blocks("assistant", calls("YpX3qf6jO")), blocks("user", answers("YpX3qf6jO", "a")))},
		"no tools":                              {in: loop, needs: Needs{NoTools: true}, want: talk(hi, says("assistant", "I look.\n[called the tool \"Bash\" with {\"command\":\"ls\"}]\n[called the tool \"Bash\" with {\"command\":\"ls\"}]"), says("user", "[the tool \"Bash\" answered:]\na\n[end of its answer]\n[the tool \"Bash\" answered:]\nb\n[end of its answer]"), yes)},
		"no tools, an open call":                {in: talk(hi, blocks("assistant", calls("1"))), needs: Needs{NoTools: true}, want: talk(hi, says("assistant", `[called the tool "Bash" with {"command":"ls"}]`))},
		"no tools, a result that came too late": {in: talk(hi, blocks("assistant", calls("1")), last, yes, blocks("user", answers("1", "a"))), needs: Needs{NoTools: true}, want: talk(hi, says("assistant", `[called the tool "Bash" with {"command":"ls"}]`), last, yes, says("user", "[the tool \"Bash\" answered:]\na\n[end of its answer]"))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notes := folded(t, tt.in, tt.needs)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(notes) > 0 {
				t.Errorf("noted %q", notes)
			}
		})
	}
}

// TestShortIDs: what Mistral Nemo's template wants of an id, and no two alike.
func TestShortIDs(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"", "toolu_01", "toolu_02", "123456789", "call_abc", "ü"} {
		short := nine(id)
		if !regexp.MustCompile(`^[a-zA-Z0-9]{9}$`).MatchString(short) || short != nine(id) || short != nine(short) {
			t.Errorf("%q becomes %q", id, short)
		}
		if other, found := seen[short]; found {
			t.Errorf("%q and %q become %q", id, other, short)
		}
		seen[short] = id
	}
}

// spoken are the texts in a value, as a reader of the engine's prompt would find them.
func spoken(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			all = append(all, spoken(one)...)
		}
	case map[string]any:
		for _, name := range []string{"content", "text", "data", "source"} {
			all = append(all, spoken(v[name])...)
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

// ordered fails unless a template that wants everything takes the conversation.
func ordered(t *testing.T, messages []map[string]any, out string) {
	t.Helper()
	turn := "user"
	var open []string
	for i, m := range messages {
		role, _ := m["role"].(string)
		if role == "system" && i == 0 {
			continue
		}
		content, _ := m["content"].([]any)
		if text, ok := m["content"].(string); ok {
			content = []any{map[string]any{"type": "text", "text": text}}
		}
		if role != turn || len(content) == 0 {
			t.Errorf("message %d is of %q, of %q it should be: %s", i, role, turn, out)
		}
		turn = map[string]string{"user": "assistant", "assistant": "user"}[role]
		var asked, answered []string
		for _, b := range content {
			block, _ := b.(map[string]any)
			switch block["type"] {
			case "tool_use":
				asked = append(asked, fmt.Sprint(block["id"]))
			case "tool_result":
				answered = append(answered, fmt.Sprint(block["tool_use_id"]))
			case "text":
				if block["text"] == "" {
					t.Errorf("an empty text: %s", out)
				}
			}
		}
		if !slices.Equal(open, answered) || len(answered) > 0 && len(answered) != len(content) {
			t.Errorf("%q are asked, %q are answered: %s", open, answered, out)
		}
		open = asked
	}
	if len(open) > 0 {
		t.Errorf("%q are not answered: %s", open, out)
	}
}

func FuzzFolding(f *testing.F) {
	for _, turn := range turns {
		f.Add([]byte(turn))
	}
	for _, messages := range []string{
		`[{"role":"assistant","content":null},{"role":"system","content":"s"},{"role":"system","content":[{"type":"text","text":"t"},{"type":"image"}]},{"role":"user","content":[]}]`,
		`[{"role":"system"},{"role":"tool","content":[1,[],"\ud800"]}],"system":["x"],"tools":[{}]`,
		talk(says("user", "a"), blocks("assistant", calls("1"), calls("2")), blocks("user", answers("2", "b"), texts("<|im_start|>"), answers("3", "c"), `{"type":"document","source":{"type":"text","data":"d"}}`)),
		talk(blocks("assistant", calls("1"), `{"type":"thinking","thinking":"x"}`), blocks("user", `{"type":"x","text":"[INST]"}`, `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`)),
	} {
		f.Add([]byte(`{"model":"x","messages":` + messages + `}`))
	}
	f.Fuzz(wellFolded)
}

// FuzzConversations folds conversations of every kind of block, in any order.
func FuzzConversations(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"))
	f.Add([]byte("1\x12\x23\x34\x45\x56\x67\x78\x89\x9a\xab\xbc\xcd\xde\xef\xf0\x01"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		kinds := []string{
			texts("a word"), texts(""), texts("<|im_start|>system"), texts("[INST]"), `"bare"`, `{"type":"unheard_of","text":"t"}`,
			calls("1"), calls("2"), `{"type":"tool_use","id":"3","name":"n","input":"odd"}`, answers("1", "one"), answers("2", ""),
			`{"type":"tool_result","tool_use_id":"3","is_error":true,"content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}`,
			`{"type":"thinking","thinking":"hm"}`, `{"type":"document","source":{"type":"text","data":"d"}}`, `{"type":"image","source":{"type":"url","url":"http://a/b.png"}}`, ``,
		}
		var messages []string
		for _, c := range choices {
			role, kind := c>>6, kinds[c&15]
			more := len(messages) > 0 && c>>4&3 != 0 && kind != ""
			switch {
			case more && !strings.HasSuffix(messages[len(messages)-1], "[]}"):
				last := &messages[len(messages)-1]
				*last = strings.TrimSuffix(*last, "]}") + "," + kind + "]}"
			default:
				messages = append(messages, blocks([]string{"user", "assistant", "system", "user"}[role], kind))
			}
		}
		wellFolded(t, []byte(`{"model":"x","messages":`+talk(messages...)+`}`))
	})
}

// wellFolded fails unless a request is folded into one that any template takes, with all
// its words, once and for all, and as the beginning of what follows.
func wellFolded(t *testing.T, body []byte) {
	r, err := Parse(body)
	if err != nil {
		return
	}
	for _, needs := range []Needs{{}, {OneCall: true, Markers: []string{"[INST]"}}, {NoTools: true}, {NoSystem: true}, {Blind: true, ShortIDs: true}} {
		out, err := r.For(Model{Tag: "m", Needs: needs})
		if err != nil {
			continue
		}
		got := string(out.Body.Bytes())
		var before, after map[string]any
		if json.Unmarshal(body, &before) != nil {
			return
		}
		if err := json.Unmarshal([]byte(got), &after); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		ordered(t, messagesOf(after), got)
		all := strings.ReplaceAll(strings.Join(spoken(after["messages"]), "\n"), Joiner, "")
		for _, m := range messagesOf(before) {
			for _, word := range said(m["content"]) {
				if !strings.Contains(all, word) {
					t.Errorf("%q was lost: %s", word, got)
				}
			}
		}
		again, err := Parse([]byte(got))
		if err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		needs.ShortIDs = false // the hash of a hash is another one
		if twice, err := again.For(Model{Tag: "m", Needs: needs}); err != nil || !bytes.Equal(twice.Body.Bytes(), []byte(got)) {
			t.Errorf("not the same the second time, %v\n%s\n%s", err, got, twice.Body.Bytes())
		}
		begins(t, r, needs)
	}
}

// said are the texts of a message that a model has to get: those of its texts and results.
func said(content any) (all []string) {
	switch v := content.(type) {
	case string:
		return []string{strings.ReplaceAll(v, Joiner, "")}
	case []any:
		for _, b := range v {
			block, _ := b.(map[string]any)
			switch block["type"] {
			case "text":
				if text, ok := block["text"].(string); ok {
					all = append(all, said(text)...)
				}
			case "tool_result":
				all = append(all, said(block["content"])...)
			case "document":
				if source, _ := block["source"].(map[string]any); source["type"] == "text" {
					if data, ok := source["data"].(string); ok {
						all = append(all, said(data)...)
					}
				}
			}
		}
	}
	return all
}

// begins fails unless a conversation that stops where the assistant takes the word is
// written as the beginning of the longer one.
func begins(t *testing.T, r *Request, needs Needs) {
	t.Helper()
	r, err := r.harmless(needs.Markers, notes{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(messages []message) string {
		out, _ := foldMessages(messages, needs, notes{}, true)
		return string(out.Bytes())
	}
	long := write(r.messages)
	for i, m := range r.messages {
		if i == 0 || m.role != "assistant" || r.messages[i-1].role != "user" {
			continue
		}
		if short := write(r.messages[:i]); !strings.HasPrefix(long, strings.TrimSuffix(short, "]")) {
			t.Errorf("%s\ndoes not begin with\n%s", long, short)
		}
	}
}
