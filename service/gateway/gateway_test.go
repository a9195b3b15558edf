package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/messages"
	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

const token = "switchyard-test"

var tiny = Model{Tag: "docker.io/ai/tiny:latest", Context: 65536}

// rig is a gateway before a runner that a test plays.
type rig struct {
	*testing.T
	g    *Gateway
	url  string
	host string
}

func newRig(t *testing.T, runner http.Handler, change func(*Options)) *rig {
	t.Helper()
	upstream := httptest.NewServer(loading(runner))
	t.Cleanup(upstream.Close)
	opt := Options{
		Tokens:   func() []string { return []string{token} },
		Upstream: func(context.Context) Upstream { return Upstream{URL: upstream.URL} },
		Model:    func(context.Context, string) Model { return tiny },
	}
	if change != nil {
		change(&opt)
	}
	g := New(opt)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = g.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &rig{t, g, "http://" + l.Addr().String(), l.Addr().String()}
}

// loading plays Model Runner's part of a load: it is quick.
func loading(runner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Preload-Only") == "" && runner != nil {
			runner.ServeHTTP(w, r)
		}
	})
}

// request makes a request with the right token.
func (r *rig) request(method, path, body string) *http.Request {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func (r *rig) do(req *http.Request) (status int, body string, header http.Header) {
	r.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

func (r *rig) ask(body string) (status int, answer string, header http.Header) {
	r.Helper()
	return r.do(r.request(http.MethodPost, "/v1/messages?beta=true", body))
}

// records waits for n records: a request is recorded after its answer.
func (r *rig) records(n int) []Record {
	r.Helper()
	limit := time.After(10 * time.Second)
	for {
		records, _, more := r.g.ring.since(0)
		if len(records) >= n {
			return records
		}
		select {
		case <-more:
		case <-limit:
			r.Fatalf("waited in vain for %d records, there are %+v", n, records)
		}
	}
}

const (
	hello       = `{"model":"claude-opus-4-6","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	helloStream = `{"model":"claude-opus-4-6","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`
)

// answers plays a runner that always says the same.
func answers(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// engine is the double of llama.cpp behind Model Runner's path.
func engine(s *messages.Server) http.Handler { return http.StripPrefix("/anthropic", s) }

func TestTheAnswerHasTheNameThatWasAskedFor(t *testing.T) {
	var asked atomic.Value
	s := &messages.Server{Answer: "well said", Model: "tiny.gguf", OnRequest: func(r *http.Request, m messages.Request) {
		asked.Store(fmt.Sprint(m.Model, " ", len(m.Messages), r.Header))
	}}
	r := newRig(t, engine(s), nil)
	req := r.request(http.MethodPost, "/v1/messages?beta=true", hello)
	for name, value := range map[string]string{"X-Api-Key": "sk-ant-secret", "Cookie": "secret", "Proxy-Authorization": "secret", "X-Claude-Code-Session-Id": "s1"} {
		req.Header.Set(name, value)
	}
	status, body, header := r.do(req)
	if status != 200 || !strings.Contains(body, `"model":"claude-opus-4-6"`) || !strings.Contains(body, "well said") {
		t.Errorf("%d %s", status, body)
	}
	saw := asked.Load().(string)
	if !strings.HasPrefix(saw, tiny.Tag+" 1") {
		t.Errorf("the runner saw %s", saw)
	}
	for _, secret := range []string{"secret", token, "Authorization", "s1"} {
		if strings.Contains(saw, secret) {
			t.Errorf("%s reached the runner: %s", secret, saw)
		}
	}
	if header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the runner's CORS header went through")
	}
	status, body, header = r.ask(helloStream)
	if status != 200 || header.Get("Content-Type") != "text/event-stream" || !strings.Contains(body, `"model":"claude-opus-4-6"`) || strings.Contains(body, "tiny.gguf") ||
		!strings.HasSuffix(body, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") {
		t.Errorf("%d %v %s", status, header, body)
	}
}

// What Claude Code gets for what the runner says.
func TestErrors(t *testing.T) {
	broken := func(message string) string {
		return `{"error":{"message":"the local model's answer was cut short: ` + message + `; the engine may have run out of memory (switchyard runner logs)","type":"api_error"},"type":"error"}`
	}
	shaped := func(kind, message string) string {
		return `{"error":{"message":"` + message + `","type":"` + kind + `"},"type":"error"}`
	}
	tests := []struct {
		name         string
		status       int
		kind, body   string
		want         int
		answer, wait string
		reason       Reason
	}{
		{"overflow", 400, "application/json", `{"error":{"code":400,"message":"request (70029 tokens) exceeds the available context size (65536 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":70029,"n_ctx":65536}}`,
			400, shaped("invalid_request_error", `prompt is too long: 70029 tokens \u003e 65536 maximum`), "", Overflow},
		{"overflow, of an older engine", 400, "application/json", `{"error":{"message":"the request exceeds the available context size. try increasing the context size or enable context shift"}}`,
			400, shaped("invalid_request_error", `prompt is too long: 65537 tokens \u003e 65536 maximum`), "", Overflow},
		{"overflow, in words only", 400, "application/json", `{"error":{"message":"request (70029 tokens) exceeds the available context size (65000 tokens)"}}`,
			400, shaped("invalid_request_error", `prompt is too long: 70029 tokens \u003e 65000 maximum`), "", Overflow},
		{"no such model", 404, "application/json", `{"type":"error","error":{"type":"not_found_error","message":"Model not found: docker.io/ai/tiny:latest"}}`,
			404, shaped("not_found_error", "Docker Model Runner has no model ai/tiny: pull it (switchyard pull ai/tiny), or choose another one (switchyard local MODEL)"), "", verdict.ModelMissing},
		{"out of memory", 500, "text/plain", "unable to load runner: error waiting for runner to be ready: not enough GPU memory to load the model (CUDA)\n",
			400, shaped("invalid_request_error", "not enough GPU memory for ai/tiny with a context of 65536 tokens: choose a smaller model or context, or unload another model (switchyard unload)"), "", verdict.OutOfMemory},
		{"a crash", 500, "text/plain", "unable to load runner: llama.cpp terminated unexpectedly: llama.cpp failed: exit status 3\n",
			500, shaped("api_error", "the inference engine of ai/tiny crashed; Docker Model Runner restarts it (switchyard runner logs says why)"), "", EngineFailed},
		{"some failure", 500, "text/plain", "backend\n\tis odd\n",
			500, shaped("api_error", "Docker Model Runner: backend is odd"), "", EngineFailed},
		{"loading", 503, "application/json", `{"error":{"code":503,"message":"verdict.Loading model","type":"unavailable_error"}}`,
			503, shaped("api_error", "ai/tiny is being loaded: verdict.Loading model"), "5", verdict.Loading},
		{"too large for the runner", 413, "application/json", `{"type":"error","error":{"type":"request_too_large","message":"Request body too large"}}`,
			413, shaped("request_too_large", "the request is larger than Docker Model Runner accepts (10 MB): leave large images out, or /compact"), "", verdict.TooLarge},
		{"a template that refuses", 400, "application/json", `{"error":{"message":"Error: Jinja Exception: Conversation roles must alternate"}}`,
			400, shaped("invalid_request_error", "the chat template of ai/tiny refuses the conversation (Conversation roles must alternate): choose another model"), "", verdict.TemplateRefused},
		{"a refusal", 422, "application/json", `{"error":"no such sampler"}`,
			400, shaped("invalid_request_error", "ai/tiny refuses the request: no such sampler"), "", verdict.Refused},
		{"a redirection", 302, "text/plain", "elsewhere", 502, broken("status 302"), "", Broken},
		{"no message", 200, "text/html", "<html>welcome</html>", 502, broken("it is not a message: jsontext: invalid character '\\u003c' at start of value; what answers may not be Docker Model Runner"), "", Broken},
		{"another kind of answer", 200, "application/json", `{"object":"chat.completion","choices":[]}`, 502, broken("it is not a message; what answers may not be Docker Model Runner"), "", Broken},
		{"content of no shape", 200, "application/json", `{"type":"message","content":"hello"}`, 502, broken("its content is not a list; what answers may not be Docker Model Runner"), "", Broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, answers(tt.status, tt.kind, tt.body), nil)
			status, answer, header := r.ask(hello)
			if status != tt.want || answer != tt.answer || header.Get("Retry-After") != tt.wait {
				t.Errorf("%d %s, Retry-After %q\nwant %d %s, %q", status, answer, header.Get("Retry-After"), tt.want, tt.answer, tt.wait)
			}
			if strings.HasPrefix(tt.name, "no message") || tt.status == 200 {
				tt.answer = broken("it is not a stream; what answers may not be Docker Model Runner")
			}
			if status, answer, _ = r.ask(helloStream); status != tt.want || answer != tt.answer {
				t.Errorf("streaming: %d %s, want %d %s", status, answer, tt.want, tt.answer)
			}
			records := r.records(2)
			if len(records) != 2 || records[0].Status != tt.want || records[0].Error != tt.reason {
				t.Errorf("recorded %+v", records)
			}
		})
	}
}

func TestTheRunnerIsDown(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	nobody := Upstream{URL: "http://" + closed.Addr().String()}
	t.Run("and may not be started", func(t *testing.T) {
		r := newRig(t, nil, func(o *Options) { o.Upstream = func(context.Context) Upstream { return nobody } })
		status, answer, header := r.ask(helloStream)
		const want = `{"error":{"message":"Docker Model Runner does not answer (nothing listens there): start it, or go back to the cloud (switchyard cloud)","type":"api_error"},"type":"error"}`
		if status != 503 || answer != want || header.Get("Retry-After") != "5" {
			t.Errorf("%d %s %v", status, answer, header)
		}
	})
	t.Run("and does not start", func(t *testing.T) {
		r := newRig(t, nil, func(o *Options) {
			o.Upstream = func(context.Context) Upstream { return nobody }
			o.Revive = func(context.Context) error { return errors.New("its container is stopped") }
		})
		if status, answer, _ := r.ask(hello); status != 503 || !strings.Contains(answer, "(its container is stopped)") {
			t.Errorf("%d %s", status, answer)
		}
	})
	t.Run("and is started", func(t *testing.T) {
		var where atomic.Value
		where.Store(nobody)
		s := httptest.NewServer(engine(&messages.Server{Answer: "up again"}))
		t.Cleanup(s.Close)
		r := newRig(t, nil, func(o *Options) {
			o.Upstream = func(context.Context) Upstream { return where.Load().(Upstream) }
			o.Revive = func(context.Context) error { where.Store(Upstream{URL: s.URL}); return nil }
		})
		if status, answer, _ := r.ask(hello); status != 200 || !strings.Contains(answer, "up again") {
			t.Errorf("%d %s", status, answer)
		}
	})
}

// What is not streamed comes out complete: every block, the reason, the counts.
func TestAnswersAreComplete(t *testing.T) {
	message := func(content, reason string) string {
		return `{"id":"m","type":"message","role":"assistant","content":[` + content + `],"model":"claude-opus-4-6","stop_reason":"` + reason + `","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}`
	}
	const silent, hi = `{"type":"text","text":"(the model answered nothing)"}`, `{"type":"text","text":"hi"}`
	given := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(message(hi, "end_turn")) }
	call := func(id, input string) string {
		return `{"type":"tool_use","id":"` + id + `","name":"x","input":` + input + `}`
	}
	for _, tt := range []struct{ name, body, want string }{
		{"usual", given(), message(hi, "end_turn")},
		{"its model", given("claude-opus-4-6", "tiny.gguf"), message(hi, "end_turn")},
		{"no content", given(hi, ""), message(silent, "end_turn")},
		{"thoughts alone", given(hi, `{"type":"thinking","thinking":"hm"}`), message(`{"type":"thinking","thinking":"hm"},`+silent, "end_turn")},
		{"an empty text", given(`"hi"`, `""`), message(silent, "end_turn")},
		{"a text of null", given(`"hi"`, `null`), message(silent, "end_turn")},
		{"content of null", given("["+hi+"]", "null"), message(silent, "end_turn")},
		{"a block of null", given(hi, "null,"+hi), message(hi, "end_turn")},
		{"a tool call", given(hi, call("t", `{"a":1}`), "end_turn", "tool_use"), message(call("t", `{"a":1}`), "tool_use")},
		{"its reason missing", given(hi, call("t", `{"a":1}`), `"end_turn"`, "null"), message(call("t", `{"a":1}`), "tool_use")},
		{"its input in a string", given(hi, call("t", `"{\"a\":1}"`)), message(call("t", `{"a":1}`), "tool_use")},
		{"its input null", given(hi, call("t", "null")), message(call("t", "{}"), "tool_use")},
		{"its input no JSON", given(hi, call("t", `"a"`)), message(call("t", "{}"), "tool_use")},
		{"its id missing", given(hi, call("", "{}")), message(call("toolu_1", "{}"), "tool_use")},
		{"two of one id", given(hi, call("t", "{}")+","+call("t", "{}")), message(call("t", "{}")+","+call("toolu_1", "{}"), "tool_use")},
		{"a stop sequence", given(`"stop_sequence":null`, `"stop_sequence":"x"`), strings.Replace(message(hi, "stop_sequence"), `"stop_sequence":null`, `"stop_sequence":"x"`, 1)},
		{"OpenAI's reason", given("end_turn", "length"), message(hi, "max_tokens")},
		{"almost nothing", `{"type":"message"}`, `{"type":"message","id":"msg_1","role":"assistant","model":"claude-opus-4-6","usage":{"input_tokens":0,"output_tokens":0},"content":[` + silent + `],"stop_reason":"end_turn","stop_sequence":null}`},
		{"counts of null", given(`"input_tokens":1`, `"input_tokens":null`), strings.Replace(message(hi, "end_turn"), `"input_tokens":1`, `"input_tokens":0`, 1)},
	} {
		r := newRig(t, answers(200, "application/json", tt.body), nil)
		status, answer, _ := r.ask(hello)
		answer = regexp.MustCompile(`(msg_|toolu_)[A-Z2-7]{20,}`).ReplaceAllString(answer, "${1}1")
		if status != 200 || answer != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.name, status, answer, tt.want)
		}
	}
}

func TestOverflowIsCountedOnlyWhenItCouldMatter(t *testing.T) {
	var counted, sent atomic.Int64
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/count_tokens") {
			counted.Add(1)
			answers(200, "application/json", `{"input_tokens":70001}`)(w, r)
			return
		}
		sent.Add(1)
		answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":50000}}`)(w, r)
	}), nil)
	long := func(n int) string { return strings.Replace(hello, "hi", strings.Repeat("word ", n/5), 1) }
	if status, _, _ := r.ask(long(100_000)); status != 200 || counted.Load() != 0 || sent.Load() != 1 {
		t.Errorf("a short one: %d, counted %d times", status, counted.Load())
	}
	// 100,000 bytes were 50,000 tokens: so 140,000 could be too many.
	const want = `{"error":{"message":"prompt is too long: 70001 tokens \u003e 65536 maximum","type":"invalid_request_error"},"type":"error"}`
	if status, answer, _ := r.ask(long(140_000)); status != 400 || answer != want || counted.Load() != 1 || sent.Load() != 1 {
		t.Errorf("a long one: %d %s, counted %d times, sent %d", status, answer, counted.Load(), sent.Load())
	}
}

func TestABlindModelIsAskedAgainWithoutImages(t *testing.T) {
	var asked []string
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body))
		if strings.Contains(string(body), `"type":"image"`) {
			http.Error(w, `{"error":{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}`, 500)
			return
		}
		answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"I see nothing"}]}`)(w, r)
	}), nil)
	const picture = `{"model":"x","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}`
	for range 2 {
		if status, answer, _ := r.ask(picture); status != 200 || !strings.Contains(answer, "I see nothing") {
			t.Errorf("%d %s", status, answer)
		}
	}
	if len(asked) != 3 {
		t.Errorf("%d requests, want one with the image and then two without", len(asked))
	}
}

func TestWhoIsLetIn(t *testing.T) {
	var reached atomic.Int64
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached.Add(1) }), nil)
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"a wrong token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer switchyard-tes") }, 401},
		{"an empty token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Basic "+token) }, 401},
		{"DNS rebinding", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"DNS rebinding with the port", func(r *http.Request) { r.Host = "evil.example" + r.Host[strings.LastIndex(r.Host, ":"):] }, 403},
		{"another address", func(r *http.Request) { r.Host = "10.0.0.1" }, 403},
		{"a web page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"a local web page", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"a web page's form", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"elsewhere", func(r *http.Request) { r.URL.Path = "/v1/complete" }, 404},
		{"the runner's own paths", func(r *http.Request) { r.URL.Path = "/engines/requests" }, 404},
		{"a path that climbs", func(r *http.Request) { r.URL.Path = "/v1/messages/../../engines/requests" }, 404},
		{"another method", func(r *http.Request) { r.Method = http.MethodDelete }, 404},
		{"1 GB", func(r *http.Request) { r.ContentLength = 1 << 30; r.Body = io.NopCloser(strings.NewReader("x")) }, 413},
		{"1 GB in chunks", func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(io.LimitReader(zeros{}, 1<<30))
		}, 413},
		{"no JSON", func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader("{")) }, 400},
	}
	for _, tt := range tests {
		req := r.request(http.MethodPost, "/v1/messages", hello)
		tt.change(req)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil { // the gateway hung up in the midst of a body that is too large
			if tt.status != 413 {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status || tt.status >= 400 && !strings.HasPrefix(string(body), `{"error":{"message":"`) {
			t.Errorf("%s: %d %s, want %d in Anthropic's shape", tt.name, resp.StatusCode, body, tt.status)
		}
	}
	for _, probe := range []string{"HEAD /", "GET /", "HEAD /api/hello", "GET /api/hello"} {
		method, path, _ := strings.Cut(probe, " ")
		req := r.request(method, path, "")
		req.Header.Del("Authorization")
		if status, body, _ := r.do(req); status != 200 || body != "" {
			t.Errorf("%s: %d %q", probe, status, body)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests reached the runner", n)
	}
	req := r.request(http.MethodPost, "/v1/messages", hello)
	req.Header.Del("Authorization")
	req.Header.Set("X-Api-Key", token)
	if status, _, _ := r.do(req); status == 401 || reached.Load() != 1 {
		t.Errorf("the token as an API key: %d", status)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestModelsAreListedInAnthropicsShape(t *testing.T) {
	r := newRig(t, answers(200, "application/json", `{"object":"list","data":[{"id":"docker.io/ai/tiny:latest","object":"model","created":1795508180,"dmr":{}}]}`), nil)
	status, body, _ := r.do(r.request(http.MethodGet, "/v1/models", ""))
	const want = `{"data":[{"created_at":"2026-11-24T08:16:20Z","display_name":"ai/tiny","id":"docker.io/ai/tiny:latest","type":"model"}],"first_id":"docker.io/ai/tiny:latest","has_more":false,"last_id":"docker.io/ai/tiny:latest"}` + "\n"
	if status != 200 || body != want {
		t.Errorf("%d %s", status, body)
	}
}

func TestUnknownModels(t *testing.T) {
	for name, m := range map[string]Model{"Docker Model Runner has no model ai/none": {Tag: "docker.io/ai/none:latest", Missing: true}, "no local model is chosen": {}} {
		r := newRig(t, http.NotFoundHandler(), func(o *Options) { o.Model = func(context.Context, string) Model { return m } })
		if status, body, _ := r.ask(hello); status != 404 || !strings.Contains(body, name) {
			t.Errorf("%d %s, want %s", status, body, name)
		}
	}
}

func TestRecordsAndSessions(t *testing.T) {
	var m atomic.Value
	m.Store(Model{Tag: "ai/m", Context: 1000})
	r := newRig(t, answers(200, "application/json", `{"type":"message","content":[{"type":"text","text":"secret words"}],"usage":{"input_tokens":100,"cache_read_input_tokens":750,"output_tokens":10}}`),
		func(o *Options) { o.Model = func(context.Context, string) Model { return m.Load().(Model) } })
	const turn = `{"model":"x","tools":[{"name":"a","input_schema":{}}],"messages":[{"role":"user","content":"secret prompt"}],"metadata":{"user_id":"{\"session_id\":\"s1\"}"}}`
	r.ask(turn)
	agent := r.request(http.MethodPost, "/v1/messages", strings.Replace(turn, "s1", "other", 1))
	agent.Header.Set("X-Claude-Code-Session-Id", "s1")
	agent.Header.Set("X-Claude-Code-Agent-Id", "a1")
	r.do(agent)
	records := r.records(2)
	if len(records) != 2 {
		t.Fatalf("%+v", records)
	}
	if got := records[0]; got.SessionID != "s1" || got.Model != "ai/m" || got.Status != 200 || got.InputTokens != 850 || got.CachedTokens != 750 || got.OutputTokens != 10 || got.Context != 1000 || got.ContextUsedPct != 86 || got.Error != "" {
		t.Errorf("%+v", got)
	}
	if got := records[1]; got.SessionID != "s1" || got.AgentID != "a1" {
		t.Errorf("%+v", got)
	}
	if sessions := r.g.Snapshot().Sessions; len(sessions) != 1 || sessions[0].ContextUsedPct != 86 || !sessions[0].NearlyFull || sessions[0].Requests != 2 || sessions[0].Running != 0 {
		t.Errorf("%+v", sessions)
	}
	m.Store(Model{Tag: "ai/m", Context: 100_000}) // as after a compaction
	r.ask(turn)
	r.records(3)
	if sessions := r.g.Snapshot().Sessions; sessions[0].ContextUsedPct >= 2 || sessions[0].NearlyFull || sessions[0].InputTokens != 3*850 || sessions[0].OutputTokens != 30 {
		t.Errorf("%+v", sessions)
	}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text")
	r.g.Metrics().ServeHTTP(w, req)
	metrics := w.Body.String()
	for _, line := range []string{`switchyard_requests_total{error="",model="ai/m",status="200"} 3.0`, `switchyard_tokens_total{kind="cached",model="ai/m"} 2250.0`, "# EOF"} {
		if !strings.Contains(metrics, line) {
			t.Errorf("no %s in\n%s", line, metrics)
		}
	}
	if all := fmt.Sprintf("%+v %s %+v", records, metrics, r.g.Snapshot()); strings.Contains(all, "secret") {
		t.Error("words of a conversation are kept")
	}
}

// A session is nearly full until it has been compacted with some room, and what was
// cut off or too long is counted.
func TestASessionIsNearlyFullUntilItHasRoom(t *testing.T) {
	s := newSessions()
	var got strings.Builder
	for _, used := range []float64{84, 85, 70, 60, 59, 70, 90} {
		r := Record{SessionID: "s", Model: "ai/m", ContextUsedPct: used, Cut: used == 70}
		s.begin(&r, false)
		s.end(&r, false)
		fmt.Fprint(&got, map[bool]string{true: "n", false: "-"}[s.all["s"].NearlyFull])
	}
	if got.String() != "-nnn--n" {
		t.Error(got.String())
	}
	long := Record{SessionID: "s", Error: Overflow}
	s.begin(&long, false)
	s.end(&long, false)
	if one := s.all["s"]; one.Cut != 2 || one.Overflows != 1 || one.Requests != 8 || one.Running != 0 {
		t.Errorf("%+v", one)
	}
}

func TestAnAnswerThatWasCutOffIsSaidSo(t *testing.T) {
	cutStream := strings.Replace(stream, `"end_turn"`, `"max_tokens"`, 1)
	for name, r := range map[string]struct {
		runner http.Handler
		ask    string
		cut    bool
	}{
		"whole":        {answers(200, "application/json", `{"type":"message","stop_reason":"end_turn","content":[{"type":"text","text":"x"}]}`), hello, false},
		"cut":          {answers(200, "application/json", `{"type":"message","stop_reason":"max_tokens","content":[{"type":"text","text":"x"}]}`), hello, true},
		"whole stream": {answers(200, "text/event-stream", stream), helloStream, false},
		"cut stream":   {answers(200, "text/event-stream", cutStream), helloStream, true},
	} {
		rig := newRig(t, r.runner, nil)
		rig.ask(r.ask)
		if got := rig.records(1); len(got) != 1 || got[0].Cut != r.cut || got[0].Bytes == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTheRingForgets(t *testing.T) {
	r := newRing()
	for i := range 1500 {
		r.add(Record{InputTokens: i})
	}
	if all, n, _ := r.since(0); len(all) != ringSize || all[0].InputTokens != 500 || n != 1500 {
		t.Errorf("%d records from %d on, %d in all", len(all), all[0].InputTokens, n)
	}
	if some, _, _ := r.since(1498); len(some) != 2 || some[0].InputTokens != 1498 {
		t.Errorf("%+v", some)
	}
}

func TestFollowingSeesOldAndNew(t *testing.T) {
	g := New(Options{})
	g.ring.add(Record{InputTokens: 1})
	ctx, stop := context.WithCancel(t.Context())
	got := make(chan int)
	ended := make(chan error, 1)
	go func() {
		ended <- g.Follow(ctx, func(records []Record) error {
			for _, r := range records {
				got <- r.InputTokens
			}
			return nil
		})
	}()
	for i := 1; i < 5; i++ {
		if n := <-got; n != i {
			t.Errorf("%d, want %d", n, i)
		}
		g.ring.add(Record{InputTokens: i + 1})
	}
	<-got
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What Switchyard itself asks is recorded and judged, but is nobody's session and in no total.
func TestAProofIsNoSession(t *testing.T) {
	served := make(chan Reason, 2)
	r := newRig(t, answers(500, "text/plain", "llama.cpp terminated unexpectedly"), func(o *Options) {
		o.Served = func(_ string, why Reason) { served <- why }
	})
	ask := func(purpose string) {
		req := r.request(http.MethodPost, "/v1/messages", hello)
		req.Header.Set("X-Claude-Code-Session-Id", "s1")
		req.Header.Set(PurposeHeader, purpose)
		r.do(req)
	}
	ask("proof")
	proof := r.records(1)[0]
	if proof.Purpose != Proof || proof.SessionID != "" || proof.Error != EngineFailed {
		t.Errorf("%+v", proof)
	}
	if now := r.g.Snapshot(); len(now.Sessions) != 0 || len(r.g.metrics.requests) != 0 {
		t.Errorf("%+v %v", now, r.g.metrics.requests)
	}
	ask("whatever")
	if other := r.records(2)[1]; other.Purpose != "" || other.SessionID != "s1" || len(r.g.Snapshot().Sessions) != 1 || len(r.g.metrics.requests) != 1 {
		t.Errorf("%+v", other)
	}
	if first, second := <-served, <-served; first != EngineFailed || second != EngineFailed {
		t.Errorf("the keeper heard %q, %q", first, second)
	}
}

func TestACompressedRequestIsRefusedPlainly(t *testing.T) {
	r := newRig(t, answers(200, "application/json", `{"type":"message","content":[]}`), nil)
	for packed, want := range map[string]int{"gzip": 415, "zstd": 415, "identity": 200, "": 200} {
		req := r.request(http.MethodPost, "/v1/messages", hello)
		req.Header.Set("Content-Encoding", packed)
		if status, answer, _ := r.do(req); status != want || want == 415 && !strings.Contains(answer, "the request is compressed ("+packed+")") {
			t.Errorf("%q: %d %s", packed, status, answer)
		}
	}
}
