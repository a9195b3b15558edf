package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// filter passes a stream through and returns what came out and what went wrong.
func filter(t testing.TB, in io.Reader) (out string, e *events) {
	t.Helper()
	e = newEvents(io.NopCloser(in), "claude-opus-4-6", func(status int, body []byte) *failure { return translate(status, body, tiny) })
	ids := 0
	e.newID = func(prefix string) string { ids++; return fmt.Sprint(prefix, ids) }
	ends := 0
	e.end = func(*failure) { ends++ }
	data, err := io.ReadAll(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil || ends != 1 {
		t.Errorf("closed with %v, reported %d times", err, ends)
	}
	return string(data), e
}

// object is a JSON object whose members are read as strictly as a reader must.
type object map[string]json.RawMessage

func (o object) get(name string) (inner object) {
	_ = json.Unmarshal(o[name], &inner)
	return inner
}

func (o object) text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s)
	return s
}

func (o object) isText(name string) bool { return strings.HasPrefix(string(o[name]), `"`) }

func (o object) number(name string) int {
	n := -1
	_ = json.Unmarshal(o[name], &n)
	return n
}

// reader is a strict reader of a stream, as Anthropic's SDKs expect it.
type reader struct {
	begun, ended bool // the message, and its last word
	tail         bool // message_delta
	blocks       int
	open         string // the kind of the open block
	ids          map[string]bool
	spoke        bool
	err          string // of an error event
}

// wellFormed reads a whole stream.
func wellFormed(stream string) (*reader, error) {
	r := &reader{ids: map[string]bool{}}
	name, data := "", ""
	for line := range strings.Lines(stream) {
		switch line := strings.TrimSuffix(line, "\n"); {
		case strings.ContainsRune(line, '\r'):
			return r, fmt.Errorf("a carriage return in %q", line)
		case line == "" && name != "":
			var one object
			if err := json.Unmarshal([]byte(data), &one); err != nil {
				return r, fmt.Errorf("%s: %w: %.200s", name, err, data)
			}
			if one.text("type") != name {
				return r, fmt.Errorf("%s is called %s", data, name)
			}
			if failed := r.event(name, one); failed != "" {
				return r, fmt.Errorf("%s: %.200s", failed, data)
			}
			name, data = "", ""
		case line == "" || line[0] == ':':
		case strings.HasPrefix(line, "event: ") && name == "":
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: ") && data == "" && name != "":
			data = line[len("data: "):]
		default:
			return r, fmt.Errorf("the line %q", line)
		}
	}
	switch {
	case name != "":
		return r, errors.New("it ends in an event")
	case !r.ended:
		return r, errors.New("it has no end")
	}
	return r, nil
}

// first is the first of the conditions that does not hold: words and conditions in turn.
func first(conditions ...any) string {
	for i := 0; i < len(conditions); i += 2 {
		if !conditions[i+1].(bool) {
			return "not so: " + conditions[i].(string)
		}
	}
	return ""
}

func (r *reader) event(name string, e object) string {
	if name == "ping" {
		return ""
	}
	if r.ended {
		return "it stands after the end"
	}
	indexed := e.number("index") == r.blocks-1
	switch name {
	case "message_start":
		m, again := e.get("message"), r.begun
		r.begun = true
		usage := m.get("usage")
		return first("one start", !again, "id", m.text("id") != "", "type", m.text("type") == "message", "role", m.text("role") == "assistant",
			"model", m.text("model") == "claude-opus-4-6", "content", string(m["content"]) == "[]", "no reason", string(m["stop_reason"]) == "null",
			"usage", usage.number("input_tokens") >= 0 && usage.number("output_tokens") >= 0)
	case "content_block_start":
		b, before := e.get("content_block"), r.open
		r.open = b.text("type")
		r.blocks++
		return cmp.Or(first("begun", r.begun, "no tail", !r.tail, "none open", before == "", "index", e.number("index") == r.blocks-1, "a kind", r.open != ""), r.block(b))
	case "content_block_delta":
		return cmp.Or(first("open", r.open != "", "index", indexed), r.delta(e.get("delta")))
	case "content_block_stop":
		open := r.open
		r.open = ""
		return first("open", open != "", "index", indexed)
	case "message_delta":
		again := r.tail
		r.tail = true
		return first("begun", r.begun, "one tail", !again, "none open", r.open == "", "spoke", r.spoke, "a reason", e.get("delta").text("stop_reason") != "",
			"usage", e.get("usage").number("output_tokens") >= 0)
	case "message_stop":
		r.ended = true
		return first("a tail", r.tail)
	case "error":
		r.ended, r.err = true, e.get("error").text("message")
		return first("type", e.get("error").text("type") != "", "message", r.err != "")
	}
	return "it is unknown"
}

func (r *reader) block(b object) string {
	switch r.open {
	case "text":
		r.spoke = r.spoke || b.text("text") != ""
		return first("text", b.isText("text"))
	case "thinking":
		return first("thinking", b.isText("thinking"))
	case "redacted_thinking":
		return ""
	case "tool_use", "server_tool_use", "mcp_tool_use":
		id, again := b.text("id"), r.ids[b.text("id")]
		r.ids[id], r.spoke = true, true
		return first("id", id != "", "one of its own", !again, "name", b.isText("name"), "input", string(b["input"]) == "{}")
	}
	r.spoke = true
	return ""
}

func (r *reader) delta(d object) string {
	switch kind := d.text("type"); kind {
	case "text_delta":
		r.spoke = r.spoke || d.text("text") != ""
		return first(kind, r.open == "text" && d.isText("text"))
	case "citations_delta":
		return first(kind, r.open == "text")
	case "thinking_delta":
		return first(kind, r.open == "thinking" && d.isText("thinking"))
	case "signature_delta":
		return first(kind, r.open == "thinking" && d.isText("signature"))
	case "input_json_delta":
		return first(kind, strings.HasSuffix(r.open, "tool_use") && d.isText("partial_json"))
	}
	return first("a delta of its kind", r.open != "text" && r.open != "thinking" && !strings.HasSuffix(r.open, "tool_use"))
}

// what builds streams of the tests.
const (
	begins = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude-opus-4-6\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":0}}}\n\n"
	ends   = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":5}}\n\n" + stops
	stops  = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

func block(i int, kind string) string {
	content := map[string]string{"text": `{"type":"text","text":""}`, "thinking": `{"type":"thinking","thinking":""}`, "tool_use": `{"type":"tool_use","id":"t","name":"Bash","input":{}}`}[kind]
	return fmt.Sprintf("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%d,\"content_block\":%s}\n\n", i, content)
}

func delta(i int, inner string) string {
	return fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%d,\"delta\":%s}\n\n", i, inner)
}

func says(i int, text string) string {
	return delta(i, `{"type":"text_delta","text":"`+text+`"}`)
}

func thinks(i int) string { return delta(i, `{"type":"thinking_delta","thinking":"hm"}`) }

func gives(i int, input string) string {
	text, _ := json.Marshal(input)
	return delta(i, `{"type":"input_json_delta","partial_json":`+string(text)+`}`)
}

func stop(i int) string {
	return fmt.Sprintf("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%d}\n\n", i)
}

func silent(i int) string { return fmt.Sprintf(silentBlock, i, i, silence, i) }

func TestStreams(t *testing.T) {
	usual := begins + block(0, "thinking") + thinks(0) + stop(0) + block(1, "text") + says(1, "hi") + says(1, ` \"there\" \u00e4`) + stop(1) + block(2, "tool_use") + gives(2, `{"a":`) + gives(2, `1}`) + stop(2)
	used := strings.Replace(ends, "end_turn", "tool_use", 1)
	hi := begins + block(0, "text") + says(0, "hi") + stop(0) + ends
	long := strings.Repeat("x", 3*16<<10)
	brokenOff := string(broken("it ended in the middle").event())
	replace := func(in string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(in) }
	for _, tt := range []struct {
		name, in, want string
		reason         Reason
	}{
		{"usual", usual + used, usual + used, ""},
		{"its model", replace(hi, "claude-opus-4-6", "tiny.gguf"), hi, ""},
		{"with carriage returns", replace(usual+used, "\n", "\r\n"), usual + used, ""},
		{"a comment and a ping", ": hello\n\n" + ping + hi + ": bye\n\n", ": hello\n\n" + ping + hi + ": bye\n\n", ""},
		{"ids and pauses", "retry: 5\nid: 1\n" + hi, hi, ""},
		{"a long text", replace(hi, "hi", long), replace(hi, "hi", long), ""},
		{"a long input", begins + block(0, "tool_use") + gives(0, `{"a":"`+long+`"}`) + stop(0) + used, begins + block(0, "tool_use") + gives(0, `{"a":"`+long+`"}`) + stop(0) + used, ""},

		{"without content", begins + ends, begins + silent(0) + ends, ""},
		{"with thoughts alone", begins + block(0, "thinking") + thinks(0) + stop(0) + ends, begins + block(0, "thinking") + thinks(0) + stop(0) + silent(1) + ends, ""},
		{"with an empty text", replace(hi, `"hi"`, `""`), replace(begins+block(0, "text")+says(0, "hi")+stop(0), `"hi"`, `""`) + silent(1) + ends, ""},
		{"silent after wrong indexes", begins + block(2, "thinking") + thinks(2) + ends, begins + block(0, "thinking") + thinks(0) + stop(0) + silent(1) + ends, ""},

		{"no stop of a block", begins + block(0, "text") + says(0, "hi") + ends, hi, ""},
		{"no stop between blocks", replace(usual, stop(0), "", stop(1), "") + used, usual + used, ""},
		{"a stop too many", begins + stop(0) + block(0, "text") + says(0, "hi") + stop(0) + stop(0) + ends, hi, ""},
		{"a stop of another block", begins + block(0, "text") + stop(4) + says(0, "hi") + stop(0) + ends, hi, ""},
		{"no start of a block", begins + says(0, "hi") + stop(0) + ends, hi, ""},
		{"a text after its stop", begins + block(0, "text") + stop(0) + says(0, "hi") + ends, begins + block(0, "text") + stop(0) + block(1, "text") + says(1, "hi") + stop(1) + ends, ""},
		{"an input that belongs to nothing", begins + gives(0, "{}") + block(0, "text") + says(0, "hi") + gives(0, "{}") + stop(0) + ends, hi, ""},
		{"a text amid a thought", begins + block(0, "thinking") + says(0, "hi") + ends, begins + block(0, "thinking") + stop(0) + block(1, "text") + says(1, "hi") + stop(1) + ends, ""},
		{"indexes from 1", begins + block(1, "text") + says(1, "hi") + stop(1) + ends, hi, ""},
		{"the same index twice", begins + block(0, "thinking") + thinks(0) + stop(0) + block(0, "text") + says(0, "hi") + stop(0) + ends, begins + block(0, "thinking") + thinks(0) + stop(0) + block(1, "text") + says(1, "hi") + stop(1) + ends, ""},
		{"no indexes", replace(hi, `"index":0,`, ""), hi, ""},

		{"a text of null", begins + block(0, "text") + delta(0, `{"type":"text_delta","text":null}`) + says(0, "hi") + delta(0, `{"type":"text_delta","text":7}`) + delta(0, `{"type":"text_delta"}`) + delta(0, "null") + stop(0) + ends, hi, ""},
		{"a block of null", begins + "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":null}\n\n" + says(0, "hi") + stop(0) + ends, hi, ""},
		{"a text of null in its start", replace(hi, `"text","text":""`, `"text","text":null`), hi, ""},
		{"a delta without its type", replace(hi, `"type":"text_delta",`, ""), replace(hi, `{"type":"text_delta","text":"hi"}`, `{"text":"hi","type":"text_delta"}`), ""},
		{"an input that is an object", begins + block(0, "tool_use") + delta(0, `{"type":"input_json_delta","partial_json":{"a":1}}`) + stop(0) + used, begins + block(0, "tool_use") + gives(0, `{"a":1}`) + stop(0) + used, ""},
		{"an input in the start", begins + replace(block(0, "tool_use"), `"input":{}`, `"input":{"a":1}`) + stop(0) + used, begins + block(0, "tool_use") + gives(0, `{"a":1}`) + stop(0) + used, ""},
		{"an input in the start, and again", begins + replace(block(0, "tool_use"), `"input":{}`, `"input":{"a":1}`) + gives(0, `{"a":1}`) + stop(0) + used, begins + block(0, "tool_use") + gives(0, `{"a":1}`) + stop(0) + used, ""},
		{"an input of null", begins + replace(block(0, "tool_use"), `"input":{}`, `"input":null`) + gives(0, `{}`) + stop(0) + used, begins + block(0, "tool_use") + gives(0, `{}`) + stop(0) + used, ""},
		{"a call without an id", begins + replace(block(0, "tool_use"), `"id":"t"`, `"id":null`) + gives(0, `{}`) + stop(0) + used, begins + replace(block(0, "tool_use"), `"id":"t"`, `"id":"toolu_1"`) + gives(0, `{}`) + stop(0) + used, ""},
		{"two calls with one id", begins + block(0, "tool_use") + stop(0) + block(1, "tool_use") + stop(1) + used, begins + block(0, "tool_use") + stop(0) + replace(block(1, "tool_use"), `"id":"t"`, `"id":"toolu_1"`) + stop(1) + used, ""},

		{"two starts", begins + hi, hi, ""},
		{"a start without anything", "event: message_start\ndata: {}\n\n" + strings.TrimPrefix(hi, begins), replace(hi, begins, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-4-6\",\"usage\":{\"input_tokens\":0,\"output_tokens\":0},\"content\":[],\"stop_reason\":null,\"stop_sequence\":null}}\n\n"), ""},
		{"a start with content of null", replace(hi, `"content":[]`, `"content":null`), hi, ""},
		{"no stop", strings.TrimSuffix(hi, stops), hi, ""},
		{"no empty line at the end", strings.TrimSuffix(hi, "\n"), hi, ""},
		{"no end of the last line", strings.TrimSuffix(hi, "\n\n"), hi, ""},
		{"no reason", replace(hi, `"end_turn"`, "null"), hi, ""},
		{"no reason, after a call", begins + block(0, "tool_use") + gives(0, "{}") + stop(0) + replace(ends, `"end_turn"`, "null"), begins + block(0, "tool_use") + gives(0, "{}") + stop(0) + used, ""},
		{"OpenAI's reason", replace(hi, "end_turn", "stop"), hi, ""},
		{"an unknown reason", replace(hi, "end_turn", "whatever"), hi, ""},
		{"a stop sequence that was not reached", replace(hi, `"end_turn","stop_sequence":null`, `"max_tokens","stop_sequence":"ready"`), replace(hi, "end_turn", "max_tokens"), ""},
		{"a stop sequence", replace(hi, `"stop_sequence":null},`, `"stop_sequence":"ready"},`), replace(hi, `"end_turn","stop_sequence":null},`, `"stop_sequence","stop_sequence":"ready"},`), ""},
		{"an end in two", begins + block(0, "text") + says(0, "hi") + stop(0) + "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":5}}\n\n" + stops, hi, ""},
		{"content after the end", strings.TrimSuffix(begins+ends, stops) + block(0, "text") + says(0, "hi") + stop(0) + stops + says(0, "more"), hi, ""},

		{"no names", strings.Join(strings.Split(replace(hi, "event: ", "event:"), "event:message_start\n"), ""), hi, ""},
		{"no names at all", nameless(hi) + "data: [DONE]\n\n", hi, ""},
		{"a wrong name", replace(hi, "event: content_block_delta", "event: message"), hi, ""},
		{"data in several lines", replace(hi, `{"type":"text_delta",`, "\ndata:   {\"type\":\"text_delta\",\ndata: "), hi, ""},
		{"what is no JSON", begins + "event: content_block_delta\ndata: {\"type\":\n\n" + strings.TrimPrefix(hi, begins), hi, ""},
		{"what is unknown", "event: news\ndata: {\"type\":\"news\"}\n\n" + hi, hi, ""},

		{"cut off between events", begins, begins + brokenOff, Broken},
		{"cut off in a line", begins + "event: content_block_start\ndata: {\"ty", begins + brokenOff, Broken},
		{"cut off in a block", begins + block(0, "text") + says(0, "hi"), begins + block(0, "text") + says(0, "hi") + brokenOff, Broken},
		{"nothing at all", "", brokenOff, Broken},
		{"a page", "<html>\n\n</html>\n", brokenOff, Broken},
		{"llama.cpp's error", begins + "event: error\ndata: {\"code\":500,\"message\":\"The model produced output that does not match the expected peg-native format\",\"type\":\"server_error\"}\n\n",
			begins + "event: error\ndata: {\"error\":{\"message\":\"ai/tiny wrote what its own format does not allow (The model produced output that does not match the expected peg-native format): it may do better when asked again\",\"type\":\"api_error\"},\"type\":\"error\"}\n\n", "bad_output"},
		{"an older llama.cpp's error", begins + "data: {\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\",\"n_prompt_tokens\":9,\"n_ctx\":8}}\n\n" + stops,
			begins + "event: error\ndata: {\"error\":{\"message\":\"prompt is too long: 9 tokens \\u003e 8 maximum\",\"type\":\"invalid_request_error\"},\"type\":\"error\"}\n\n", Overflow},
		{"an error in plain text", begins + "event: error\ndata: CUDA error: out of memory\n\n",
			begins + "event: error\ndata: {\"error\":{\"message\":\"not enough GPU memory for ai/tiny with a context of 65536 tokens: choose a smaller model or context, or unload another model (switchyard unload)\",\"type\":\"invalid_request_error\"},\"type\":\"error\"}\n\n", "out_of_memory"},
	} {
		for kind, reader := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader} {
			out, e := filter(t, reader(strings.NewReader(tt.in)))
			var reason Reason
			if e.failed != nil {
				reason = e.failed.reason
			}
			if out != tt.want || reason != tt.reason {
				t.Errorf("%s, %s: %q\n%.3000s\nwant %q\n%.3000s", tt.name, kind, reason, out, tt.reason, tt.want)
				break
			}
			if _, err := wellFormed(out); err != nil {
				t.Errorf("%s: %v in\n%s", tt.name, err, out)
			}
			if tt.reason == "" && strings.Contains(tt.in, `"cache_read_input_tokens":3`) && e.usage != (usage{7, 3, 5}) {
				t.Errorf("%s: %+v", tt.name, e.usage)
			}
		}
	}
}

// nameless is a stream without its events' names.
func nameless(stream string) string {
	var kept []string
	for line := range strings.Lines(stream) {
		if !strings.HasPrefix(line, "event:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestALostConnectionIsTold(t *testing.T) {
	lost := errors.New("reset")
	out, e := filter(t, io.MultiReader(strings.NewReader("event: message_start\n"), iotest.ErrReader(lost)))
	if want := string(broken("the connection to Docker Model Runner was lost").event()); out != want || e.failed.reason != Broken {
		t.Errorf("%s %+v", out, e.failed)
	}
}

// An event without an end is not kept for ever.
func TestAnEndlessEvent(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(begins+"data: "), io.LimitReader(zeros{}, 2*longestEvent))
	if out, e := filter(t, endless); e.failed == nil || e.failed.reason != Broken || len(out) > 4096 {
		t.Errorf("%d bytes, %+v", len(out), e.failed)
	}
}

// FuzzStream: whatever comes in, a strict reader can read what comes out, and nothing
// depends on how the bytes come.
func FuzzStream(f *testing.F) {
	f.Add(stream)
	f.Add(begins + block(0, "thinking") + thinks(0) + block(1, "tool_use") + gives(1, "{}") + ends)
	f.Add("event: message_start\ndata: {\"message\":1}\n\nevent: error\ndata: x\n\n")
	f.Add("data: {\"error\":\"x\"}\n\nevent:message_delta\n")
	f.Add(": c\n\ndata: {\"type\":\"content_block_start\",\ndata: \"index\":-1,\"content_block\":{\"type\":\"tool_use\",\"input\":\"{}\"}}\n\ndata: {\"type\":\"message_stop\"}")
	f.Add(strings.ReplaceAll(stream, "\n", "\r\n"))
	f.Add("event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\"}}\n\nevent: message_stop\ndata: {}\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		once, e := filter(t, strings.NewReader(in))
		slowly, _ := filter(t, iotest.OneByteReader(strings.NewReader(in)))
		if once != slowly {
			t.Errorf("it depends on how the bytes come\n%q\n%q", once, slowly)
		}
		r, err := wellFormed(once)
		if err != nil || (r.err == "") != (e.failed == nil) {
			t.Errorf("%v: %q became %q", err, in, once)
		}
		if again, _ := filter(t, strings.NewReader(once)); r.err == "" && again != once {
			t.Errorf("it changes again\n%q\n%q", once, again)
		}
	})
}

// pieces are what streams are made of, rightly and wrongly.
func pieces(r *rand.Rand) string {
	index, kind := r.IntN(4)-1, []string{"text", "thinking", "tool_use", "server_tool_use", "image", "redacted_thinking", ""}[r.IntN(7)]
	value := []string{`"a"`, `""`, "null", "7", `{"a":1}`, `"{\"a\":1}"`, "[]", `"\u00e4\ud83d"`}[r.IntN(8)]
	member := []string{"text", "thinking", "partial_json", "signature", "citation"}[r.IntN(5)]
	change := []string{"text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "other_delta", ""}[r.IntN(7)]
	switch r.IntN(14) {
	case 0:
		return begins
	case 1:
		return fmt.Sprintf("event: message_start\ndata: {\"type\":\"message_start\",\"message\":%s}\n\n", value)
	case 2, 3:
		return fmt.Sprintf("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":%d,\"content_block\":{\"type\":\"%s\",\"id\":%s,\"%s\":%[3]s,\"input\":%[3]s}}\n\n", index, kind, value, member)
	case 4, 5:
		return delta(index, fmt.Sprintf(`{"type":"%s","%s":%s}`, change, member, value))
	case 6:
		return says(index, "hi")
	case 7:
		return stop(index)
	case 8:
		return fmt.Sprintf("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":%s,\"stop_sequence\":%[1]s},\"usage\":{\"output_tokens\":%[1]s}}\n\n", value)
	case 9:
		return []string{ends, stops, ping, ": c\n", "\n", "data: [DONE]\n\n", "event: error\ndata: {\"error\":" + value + "}\n\n", "data: " + value + "\n\n"}[r.IntN(8)]
	case 10:
		return nameless(says(index, "x"))
	case 11:
		return strings.ReplaceAll(block(max(index, 0), "text"), "\n", "\r\n")
	case 12:
		return block(max(index, 0), "tool_use")
	}
	return gives(index, `{"b":`)
}

// However the pieces are thrown together, what comes out is a message or an error.
func TestScrambledStreams(t *testing.T) {
	kinds := map[bool]int{}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var in strings.Builder
		for range r.IntN(12) {
			in.WriteString(pieces(r))
		}
		if r.IntN(2) == 0 {
			in.WriteString(ends)
		}
		out, e := filter(t, strings.NewReader(in.String()))
		if _, err := wellFormed(out); err != nil {
			t.Fatalf("seed %d: %v\n%s\nbecame\n%s", seed, err, in.String(), out)
		}
		if again, _ := filter(t, strings.NewReader(out)); e.failed == nil && again != out {
			t.Fatalf("seed %d: it changes again\n%s\n%s", seed, out, again)
		}
		kinds[e.failed == nil]++
	}
	if kinds[true] < 500 || kinds[false] < 200 {
		t.Errorf("%v are not of both kinds", kinds)
	}
}
