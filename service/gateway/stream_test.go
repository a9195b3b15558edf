package gateway

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// filter passes a stream through and returns what came out and what went wrong.
func filter(t testing.TB, in io.Reader) (out string, fault *failure, used usage) {
	t.Helper()
	e := newEvents(io.NopCloser(in), "claude-opus-4-6", tiny)
	ends := 0
	e.end = func(f *failure) { fault = f; ends++ }
	data, err := io.ReadAll(e)
	if err != nil {
		t.Fatal(err)
	}
	used = e.usage
	if err := e.Close(); err != nil || ends != 1 {
		t.Errorf("closed with %v, reported %d times", err, ends)
	}
	return string(data), fault, used
}

func TestStreams(t *testing.T) {
	whole := strings.Replace(stream, "tiny.gguf", "claude-opus-4-6", 1)
	brokenOff := string(broken("it ended in the middle").event())
	head, rest, _ := strings.Cut(whole, "event: content_block_start")
	noContent := head + "event: message_delta" + strings.SplitN(rest, "event: message_delta", 2)[1]
	thoughts := strings.Replace(strings.Replace(whole, `"type":"text"`, `"type":"thinking"`, 1), `{"type":"text_delta","text":"hi"}`, `{"type":"thinking_delta","thinking":"hi"}`, 1)
	mute := strings.Replace(whole, `"hi"`, `""`, 1)
	toolCall := strings.Replace(mute, `{"type":"text","text":""}`, `{"type":"tool_use","id":"t","name":"Bash","input":{}}`, 1)
	silent := func(index int) string { return fmt.Sprintf(silentBlock, index, index, silence, index) }
	for _, tt := range []struct {
		name, in, want string
		reason         Reason
	}{
		{"whole", whole, whole, ""},
		{"with carriage returns", strings.ReplaceAll(whole, "\n", "\r\n"), strings.ReplaceAll(whole, "\n", "\r\n"), ""},
		{"without content", noContent, strings.Replace(noContent, "event: message_delta", silent(0)+"event: message_delta", 1), ""},
		{"with thoughts alone", thoughts, strings.Replace(thoughts, "event: message_delta", silent(1)+"event: message_delta", 1), ""},
		{"with an empty text", mute, strings.Replace(mute, "event: message_delta", silent(1)+"event: message_delta", 1), ""},
		{"with a tool call", toolCall, toolCall, ""},
		{"cut off between events", head, head + brokenOff, Broken},
		{"cut off in a line", head + "event: content_block_start\ndata: {\"ty", head + "event: content_block_start\ndata: {\"ty\n\n" + brokenOff, Broken},
		{"nothing at all", "", brokenOff, Broken},
		{"llama.cpp's error", head + "event: error\ndata: {\"error\":{\"code\":500,\"message\":\"decode failed\",\"type\":\"server_error\"}}\n\n",
			head + "event: error\ndata: {\"error\":{\"message\":\"Docker Model Runner: decode failed\",\"type\":\"api_error\"},\"type\":\"error\"}\n\n", EngineFailed},
		{"an older llama.cpp's error", head + "data: {\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size\",\"n_prompt_tokens\":9,\"n_ctx\":8}}\n\n",
			head + "event: error\ndata: {\"error\":{\"message\":\"prompt is too long: 9 tokens \\u003e 8 maximum\",\"type\":\"invalid_request_error\"},\"type\":\"error\"}\n\n", Overflow},
		{"a comment and a ping", ": hello\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n" + whole, ": hello\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n" + whole, ""},
		{"a long piece", strings.Replace(whole, `"hi"`, `"`+strings.Repeat("x", 3*longestLine)+`"`, 1), strings.Replace(whole, `"hi"`, `"`+strings.Repeat("x", 3*longestLine)+`"`, 1), ""},
	} {
		for kind, reader := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with its end": iotest.DataErrReader} {
			out, fault, used := filter(t, reader(strings.NewReader(tt.in)))
			var reason Reason
			if fault != nil {
				reason = fault.reason
			}
			want := strings.ReplaceAll(tt.want, "\"claude-opus-4-6\",\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":0}}}\r\n", "\"claude-opus-4-6\",\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":0}}}\n")
			if out != want || reason != tt.reason {
				t.Errorf("%s, %s: %q\n%s\nwant %q\n%s", tt.name, kind, reason, out, tt.reason, want)
			}
			if tt.reason == "" && used != (usage{7, 3, 5}) {
				t.Errorf("%s: %+v", tt.name, used)
			}
		}
	}
}

func TestALostConnectionIsTold(t *testing.T) {
	lost := errors.New("reset")
	out, fault, _ := filter(t, io.MultiReader(strings.NewReader("event: message_start\n"), iotest.ErrReader(lost)))
	if want := "event: message_start\n\n\n" + string(broken("the connection to Docker Model Runner was lost").event()); out != want || fault.reason != Broken {
		t.Errorf("%s %+v", out, fault)
	}
}

// FuzzStream: what is not a stream passes as it is, but for its end.
func FuzzStream(f *testing.F) {
	f.Add(stream)
	f.Add("event: message_start\ndata: {\"message\":1}\n\nevent: error\ndata: x\n\n")
	f.Add("data: {\"error\":\"x\"}\n\nevent:message_delta\n")
	f.Fuzz(func(t *testing.T, in string) {
		once, _, _ := filter(t, strings.NewReader(in))
		slowly, _, _ := filter(t, iotest.OneByteReader(strings.NewReader(in)))
		if once != slowly {
			t.Errorf("it depends on how the bytes come\n%q\n%q", once, slowly)
		}
		if !strings.Contains(in, "event") && !strings.Contains(in, "error") && !strings.HasPrefix(once, in) {
			t.Errorf("%q became %q", in, once)
		}
	})
}
