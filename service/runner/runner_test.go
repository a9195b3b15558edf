package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// realRunner is a real Model Runner with models for every proof.
func realRunner(t *testing.T) (r *lab.Runner, double bool) {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err = lab.StartRunner(t.Context(), parts, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	for name, m := range map[string]gguf.Model{
		"ai/good":   {Context: 65536},
		"ai/strict": {Strict: true},
		"ai/oom":    {Behaviour: "oom"},
		"ai/small":  {Context: 4096},
		"ai/mute":   {Behaviour: "no-tools"},
		"ai/plain":  {Plain: true},
	} {
		if err := r.Add(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	return r, !parts.RealEngine
}

func TestProofsOnARealRunner(t *testing.T) {
	r, double := realRunner(t)
	c := NewClient(Endpoint{URL: r.URL})
	t.Cleanup(c.Close)
	talks := strings.Join(Conversations(), " ")
	if !double {
		talks = strings.Replace(talks, "odd_schema", "ODD_SCHEMA", 1) // llama.cpp refuses it
	}
	tests := []struct {
		model  string
		wish   int
		proofs string // in order; a failed one in capitals
		says   string
	}{
		{"good", 0, "runner model context message system_message " + talks + " tool_call", ""},
		{"docker.io/ai/good:latest", 32768, "runner model context message system_message " + talks + " tool_call", ""},
		{"good", 100_000, "runner model CONTEXT message system_message " + talks + " tool_call", "at most 65536"},
		{"strict", 0, "runner model context message SYSTEM_MESSAGE " + strings.Replace(talks, "late_reminder", "LATE_REMINDER", 1) + " tool_call", "chat template"},
		{"mute", 0, "runner model context message system_message " + talks + " TOOL_CALL", "as text"},
		{"plain", 0, "runner model context message system_message TOOL_CALL", "its chat template has no tools"},
		{"small", 0, "runner model CONTEXT message system_message " + talks + " tool_call", "32768"},
		{"oom", 0, "runner model context MESSAGE", "not enough GPU memory"},
		{"goood", 0, "runner MODEL", "the nearest are ai/good"},
		{"", 0, "runner MODEL", "choose one: "},
	}
	for _, tt := range tests {
		if !double && (tt.model == "oom" || tt.model == "mute") {
			continue // a real engine does not misbehave on order
		}
		t.Run(tt.model+fmt.Sprint(tt.wish), func(t *testing.T) {
			var got []string
			m, tag, err := c.Prove(t.Context(), Wish{Model: tt.model, Context: tt.wish, Done: func(p Proof) {
				if !p.OK {
					p.Name = strings.ToUpper(p.Name)
				}
				if !p.OK && p.Remedy == "" {
					t.Errorf("%s failed without a remedy", p.Name)
				}
				got = append(got, p.Name)
			}})
			if strings.Join(got, " ") != tt.proofs {
				t.Errorf("proofs %q, want %q (%v)", got, tt.proofs, err)
			}
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
			if err == nil && (tag != "docker.io/ai/good:latest" || m.Context == 0) {
				t.Errorf("proved %s, %+v", tag, m)
			}
		})
	}
	models, err := c.Models(t.Context())
	if err != nil || len(models) != 6 {
		t.Errorf("%+v %v", models, err)
	}
	for _, m := range models {
		if m.Size == 0 || m.Context == 0 {
			t.Errorf("size or context of %s is unknown: %+v", m.Tag(), m)
		}
		if m.Template != "" || m.NoTools != (m.Tag() == "docker.io/ai/plain:latest") {
			t.Errorf("%s: no tools %t, template %q", m.Tag(), m.NoTools, m.Template)
		}
	}
	if m, err := c.Model(t.Context(), "ai/plain"); err != nil || !strings.Contains(m.Template, "roles must alternate") {
		t.Errorf("the template: %q %v", m.Template, err)
	}
	if build, err := c.Build(t.Context()); err != nil || double && build != "dev llama.cpp double" {
		t.Errorf("build %q %v", build, err)
	}
	if err := c.Preload(t.Context(), "ai/good"); err != nil {
		t.Error(err)
	}
	loaded, err := c.Running(t.Context())
	if err != nil || len(loaded) == 0 {
		t.Errorf("%+v %v", loaded, err)
	}
	r.Stop()
	var failed *Error
	if _, err := c.Models(t.Context()); !errors.As(err, &failed) || !failed.Unreachable() || !strings.Contains(failed.Error(), r.URL) {
		t.Errorf("stopped: %v", err)
	}
}

// Not every session has an odd tool or began in the cloud: what a model refuses of these is
// told, and forbids nothing. An engine that dies of it does.
func TestWhatNeedNotHold(t *testing.T) {
	for _, tt := range []struct {
		name, remedy string
		err          error
		minor        bool
	}{
		{"odd_schema", "", nil, false},
		{"odd_schema", "use the gateway", nil, true},
		{"odd_schema", "", errors.New("gone"), false},
		{"cloud_history", "use the gateway", nil, true},
		{"tool_result", "use the gateway", nil, false},
	} {
		var got Proof
		p := &prover{done: func(p Proof) { got = p }}
		holds := p.prove(t.Context(), tt.name, func(context.Context) (string, string, error) { return "", tt.remedy, tt.err })
		if got.Minor != tt.minor || holds != (tt.remedy == "" && tt.err == nil) || (p.err == nil) != (holds || tt.minor) {
			t.Errorf("%+v: %+v, %v", tt, got, p.err)
		}
	}
}

// Where the gateway writes tools as text, only the engine itself can tell that this is wrong.
func TestWhoCallsTools(t *testing.T) {
	const refused = `{"error":{"message":"Error: Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."}}`
	engine := func(calls, takes bool) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch {
			case strings.Contains(string(body), "tool_result") && !takes:
				http.Error(w, refused, http.StatusInternalServerError)
			case calls:
				fmt.Fprint(w, `{"content":[{"type":"tool_use","name":"report_word"}]}`)
			default:
				fmt.Fprint(w, `{"content":[{"type":"text","text":"hello"}]}`)
			}
		}))
	}
	for _, tt := range []struct {
		name                        string
		noTools, through            bool
		gateway, calls, takes, want bool
	}{
		{"directly", false, false, false, true, true, true},
		{"directly, without a call", false, false, false, false, true, false},
		{"directly, with a template that has none, but which the engine does not use", true, false, false, true, true, true},
		{"directly, with calls of which the result is refused", true, false, false, true, false, false},
		{"through the gateway", false, true, true, false, false, true},
		{"through the gateway, which learned too much", false, true, false, true, true, true},
		{"through the gateway, which is right", false, true, false, true, false, false},
		{"through the gateway, without tools in the template", true, true, false, false, false, false},
		{"through the gateway, with another template", true, true, false, true, true, true},
	} {
		direct, gateway := engine(tt.calls, tt.takes), engine(tt.gateway, true)
		c := NewClient(Endpoint{URL: direct.URL})
		if tt.through {
			c.Through(gateway.URL, "token")
		}
		_, remedy, err := c.proveTool(t.Context(), Model{NoTools: tt.noTools}, "ai/x")
		if err != nil || (remedy == "") != tt.want {
			t.Errorf("%s: %q %v", tt.name, remedy, err)
		}
		c.Close()
		direct.Close()
		gateway.Close()
	}
}

// Whatever listens on the port, the client says what is wrong and never hangs or swells.
func TestStrangersOnThePort(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"garbage", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>router login</html>") }, "not Model Runner's"},
		{"another API", func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }, "404"},
		{"login", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) }, "who are you"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for block := make([]byte, 1<<20); r.Context().Err() == nil; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "too large"},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			c := NewClient(Endpoint{URL: server.URL})
			t.Cleanup(func() { c.Close(); server.CloseClientConnections(); server.Close() })
			ctx := t.Context()
			if tt.name == "silence" {
				short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				ctx = short
			}
			_, err := c.Models(ctx)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("got %v, want %q and the address", err, tt.want)
			}
		})
	}
}

// desktopPrefix is where Docker Desktop serves Model Runner on its own socket.
const desktopPrefix = "/exp/vDD4.40"

func TestOverASocketAndThePrefix(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != desktopPrefix+"/models" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `[{"id":"sha256:1","tags":["docker.io/ai/x:latest"],"config":{"size":"1.50GiB","context_size":8192}},
			{"id":"sha256:2","config":{"gguf":{"general.architecture":"qwen3","qwen3.context_length":"40960"}}}]`)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	e := Endpoint{URL: "http://localhost" + desktopPrefix, Socket: socket}
	c := NewClient(e)
	defer c.Close()
	models, err := c.Models(t.Context())
	if err != nil || len(models) != 2 || models[0].Context != 8192 || models[0].Size != 3<<29 {
		t.Fatalf("%+v %v", models, err)
	}
	// Packaged before the context was recorded: the training context counts.
	if models[1].Context != 40960 || models[1].Tag() != "sha256:2" {
		t.Errorf("%+v", models[1])
	}
	if e.BaseURL() != "" {
		t.Error("Claude Code cannot be pointed to a socket")
	}
}

// The real runner's part is in TestProofsOnARealRunner.
func TestAnOldRunnerDoesNotKnowAnthropicsAPI(t *testing.T) {
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	client := NewClient(Endpoint{URL: old.URL})
	defer client.Close()
	if known, err := client.Anthropic(t.Context()); known || err != nil {
		t.Errorf("%v %v", known, err)
	}
	old.Close()
	if known, err := client.Anthropic(t.Context()); known || err == nil {
		t.Errorf("a runner that does not answer: %v %v", known, err)
	}
}

func TestChoose(t *testing.T) {
	models := []Model{
		{ID: "sha256:aaaaaaaaaa", Tags: []string{"docker.io/ai/qwen3-coder:latest"}},
		{ID: "sha256:bbbbbbbbbb", Tags: []string{"docker.io/ai/gpt-oss:latest", "docker.io/ai/gpt-oss:20b"}},
		{ID: "sha256:cccccccccc", Tags: []string{"huggingface.co/unsloth/x-gguf:latest"}},
		{ID: "sha256:dddddddddd", Tags: []string{"huggingface.co/unsloth/y:Q4_K_M"}},
	}
	for name, want := range map[string]string{
		"qwen3-coder": "docker.io/ai/qwen3-coder:latest", "ai/qwen3-coder": "docker.io/ai/qwen3-coder:latest",
		"AI/Qwen3-Coder:latest": "docker.io/ai/qwen3-coder:latest", "gpt-oss:20b": "docker.io/ai/gpt-oss:20b",
		"sha256:bbbbbb": "docker.io/ai/gpt-oss:latest", "huggingface.co/unsloth/x-gguf": "huggingface.co/unsloth/x-gguf:latest",
		"gpt-oss:120b": "", "": "", "hf.co/Unsloth/X-GGUF": "huggingface.co/unsloth/x-gguf:latest", "huggingface.co/unsloth/y:q4_k_m": "huggingface.co/unsloth/y:Q4_K_M",
	} {
		if _, tag, _ := Choose(models, name); tag != want {
			t.Errorf("%s: %q, want %q", name, tag, want)
		}
	}
	if _, _, near := Choose(models, "qwen3coder"); len(near) == 0 || near[0] != "ai/qwen3-coder" {
		t.Errorf("nearest %q", near)
	}
}

func TestFullNames(t *testing.T) {
	for ref, want := range map[string]string{
		"": "", "qwen3": "docker.io/ai/qwen3:latest", "AI/Qwen3:8B-Q4_K_M": "docker.io/ai/qwen3:8B-Q4_K_M", "hf.co/Org/Model:Q8_0": "huggingface.co/org/model:Q8_0",
		"localhost:5000/ai/x": "localhost:5000/ai/x:latest", "sha256:ab": "sha256:ab",
	} {
		if got := Full(ref); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"8.43GiB": 9051643576, "231.25KiB": 236800, "1 GB": 1e9, "256MB": 256e6, "12": 12, "": 0, "big": 0, "-1GB": 0, "1e999GB": 0, "9999999999TiB": 0,
	} {
		if got := parseSize(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("8.43GiB")
	f.Fuzz(func(t *testing.T, text string) {
		if parseSize(text) < 0 {
			t.Errorf("%q is negative", text)
		}
	})
}

// silentTransport answers nothing until it is given up.
type silentTransport struct{ started bool }

func (s *silentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.started { // the stream begins, and then says nothing more
		from, to := io.Pipe()
		context.AfterFunc(r.Context(), func() { _ = to.CloseWithError(context.Cause(r.Context())) })
		go func() {
			_, _ = io.WriteString(to, `{"type":"progress","total":100,"layer":{"id":"a","size":100,"current":10}}`+"\n")
		}()
		return &http.Response{StatusCode: http.StatusOK, Body: from}, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestARegistryThatHangs(t *testing.T) {
	for _, started := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := NewClient(Endpoint{URL: "http://runner"})
			c.http.Transport = &silentTransport{started}
			begin := time.Now()
			err := c.Pull(t.Context(), "ai/x", func(Progress) {})
			var failed *PullError
			if !errors.As(err, &failed) || failed.Why != "its registry does not answer" || !failed.Again || time.Since(begin) != silence {
				t.Errorf("after %s: %v", time.Since(begin), err)
			}
		})
	}
}

func TestPullStreams(t *testing.T) {
	tests := []struct {
		name, stream string
		done, total  int64
		why          string
		again        bool
	}{
		{"two layers", `{"type":"progress","total":30,"layer":{"id":"a","current":10}}
{"type":"progress","total":30,"layer":{"id":"b","current":5}}
{"type":"progress","total":30,"layer":{"id":"a","current":20}}
{"type":"success","message":"done"}
`, 25, 30, "", false},
		{"there already", `{"type":"success","message":"Using cached model: 5GB"}` + "\n", 0, 0, "", false},
		{"an error, and plain text after it", `{"type":"error","message":"Error: writing image to store: no space left on device"}
error while pulling model: …
`, 0, 0, "the disk is full", false},
		{"a lost connection", `{"type":"error","message":"Error: read tcp 1.2.3.4:443: connection reset by peer"}` + "\n", 0, 0, "its registry cannot be reached", true},
		{"plain text alone", "panic: oops\n", 0, 0, "panic: oops", false},
		{"it breaks off", `{"type":"progress","total":30,"layer":{"id":"a","current":10}}` + "\n", 10, 30, "Model Runner went away in the middle", true},
		{"nothing", "", 0, 0, "Model Runner went away in the middle", true},
	}
	for _, tt := range tests {
		var last Progress
		err := readPull("ai/x", strings.NewReader(tt.stream), func(p Progress) { last = p }, func(err error) error {
			return &PullError{Ref: "ai/x", Why: "Model Runner went away in the middle", Again: true, Err: err}
		})
		var failed *PullError
		errors.As(err, &failed)
		if (err != nil) != (tt.why != "") || failed != nil && (failed.Why != tt.why || failed.Again != tt.again) || last.Done != tt.done || last.Total != tt.total {
			t.Errorf("%s: %+v %v", tt.name, last, err)
		}
	}
}

func FuzzPullStream(f *testing.F) {
	f.Add(`{"type":"progress","total":30,"layer":{"id":"a","current":10}}` + "\n")
	f.Add(`{"type":"error","message":"Error: x"}` + "\nplain\n")
	f.Fuzz(func(t *testing.T, stream string) {
		_ = readPull("ai/x", strings.NewReader(stream), func(Progress) {}, func(error) error { return errors.New("gone") })
	})
}

// llama.cpp takes a model's second template for requests with tools.
func TestATemplateForTools(t *testing.T) {
	for object, noTools := range map[string]bool{
		`{"config":{"gguf":{"tokenizer.chat_template":"{{ m }}"}}}`:                                                  true,
		`{"config":{"gguf":{"tokenizer.chat_template":"{{ m }}","tokenizer.chat_template.tool_use":"{{ tools }}"}}}`: false,
		`{"config":{}}`: false,
	} {
		m, err := ParseModel([]byte(object))
		if err != nil || m.NoTools != noTools {
			t.Errorf("%s: %v, %v", object, m.NoTools, err)
		}
	}
}
