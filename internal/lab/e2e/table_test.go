//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// real is Qwen3 with its own tokenizer and template, beside those that are made up.
const real = "qwen3real"

// engineUser is a user whose engine is llama.cpp itself.
func engineUser(t *testing.T) *user {
	t.Helper()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if parts, err = parts.WithLlama(t.Context()); err != nil {
		t.Fatal(err)
	}
	build, err := parts.EngineBuild(t.Context())
	if err != nil {
		t.Fatalf("%v: %s", err, build)
	}
	t.Logf("the engine is llama.cpp, %s", build)
	return newUserOf(t, parts)
}

// serving starts a tray, and waits for its gateway: a real engine needs it for ugly schemas.
func (u *user) serving() {
	u.Helper()
	u.live()
	u.until("the gateway", func() bool { return strings.Contains(u.must("status"), "Gateway") })
}

// engine asks the real engine of one model, past all that is before it.
type engine struct {
	client *http.Client
	store  string // the runner's folder
	model  string
	socket string // where it listened last
	path   string // of the model's file
}

// prompt is the last prompt that it read, and how many tokens it holds with the answer.
func (e *engine) prompt() (text string, tokens int64, err error) {
	var slots []struct {
		Task   int64  `json:"id_task"`
		Prompt string `json:"prompt"`
		Tokens int64  `json:"n_prompt_tokens"`
	}
	if !e.there() { // it may have been unloaded, and another one have its socket
		if err := e.find(); err != nil {
			return "", 0, err
		}
	}
	if err := e.get("slots", &slots); err != nil {
		return "", 0, err
	}
	last := int64(-1)
	for _, s := range slots {
		if s.Prompt != "" && s.Task > last {
			last, text, tokens = s.Task, s.Prompt, s.Tokens
		}
	}
	return strings.ReplaceAll(text, "\u2581", " "), tokens, nil
}

// find looks for the socket of the model's engine.
func (e *engine) find() error {
	sockets, err := filepath.Glob(filepath.Join(e.store, "*.sock"))
	if err != nil {
		return err
	}
	for _, e.socket = range sockets {
		if e.there() {
			return nil
		}
	}
	return fmt.Errorf("no engine of %s in %s: %q", e.model, e.store, sockets)
}

// there reports whether the model's engine is at the socket.
func (e *engine) there() bool {
	var props struct {
		Path string `json:"model_path"`
	}
	if e.socket == "" || e.get("props", &props) != nil {
		return false
	}
	if props.Path != e.path {
		keys, err := gguf.ReadKeys(props.Path)
		if err != nil || keys[gguf.KeyName] != "ai/"+e.model {
			return false
		}
		e.path = props.Path
	}
	return true
}

func (e *engine) get(path string, into any) error {
	if e.client == nil {
		e.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
		}}}
	}
	resp, err := e.client.Get("http://engine/" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// The table: every request with every chat template, through Switchyard, Model Runner
// and llama.cpp. What reached the engine is read there, what Claude Code gets by the
// types of Anthropic's SDK. TEST_TEMPLATES names some of the templates; with TEST_DIRECTLY
// set the requests go past the gateway, which shows what they come to without it.
func TestEveryRequestWithEveryTemplate(t *testing.T) {
	u := engineUser(t)
	tokenizer, err := lab.Tokenizer(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	columns := append(gguf.Templates(), real)
	if only := os.Getenv("TEST_TEMPLATES"); only != "" {
		columns = strings.Split(only, ",")
	}
	for _, c := range columns {
		m := gguf.Model{Template: c, Context: 65536}
		if c == real {
			m = gguf.Model{Tokenizer: tokenizer, Context: 65536}
		}
		u.add("ai/"+c, m)
	}
	u.write(u.settings, "{}\n")
	u.serving()
	u.must("local", "tiny")
	all := requests()
	table := newTable(columns, all)
	work := make(chan string, len(columns))
	for _, c := range columns {
		work <- c
	}
	close(work)
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			for c := range work {
				begun := time.Now()
				u.column(c, all, table)
				t.Logf("%-10s %d requests, twice: %s", c, len(all), time.Since(begun).Round(100*time.Millisecond))
			}
		})
	}
	busy.Wait()
	t.Logf("answered rightly, of the requests of each kind:\n%s", table)
	for _, failure := range table.failures {
		t.Error(failure)
	}
}

// column asks everything of one model.
func (u *user) column(template string, all []request, table *table) {
	var settings struct{ Env map[string]string }
	if err := json.Unmarshal([]byte(u.read()), &settings); err != nil {
		u.Error(err)
		return
	}
	base := settings.Env["ANTHROPIC_BASE_URL"]
	if os.Getenv("TEST_DIRECTLY") != "" {
		base = u.runner.URL + "/anthropic"
	}
	sdk, err := lab.StartSDK(u.ctx, base, settings.Env["ANTHROPIC_AUTH_TOKEN"])
	if err != nil {
		u.Error(err)
		return
	}
	defer sdk.Stop()
	e := &engine{store: u.store, model: template}
	for _, r := range all {
		plain, err := sdk.Ask(r.bytes(template, false), false)
		if err != nil {
			u.Error(err)
			return
		}
		prompt, tokens := "", int64(0)
		if plain.Status == http.StatusOK {
			if prompt, tokens, err = e.prompt(); err != nil {
				u.Errorf("%s, %s: %v", template, r.name, err)
			}
		}
		problems := r.judge(template, plain, prompt, tokens)
		streamed, err := sdk.Ask(r.bytes(template, true), true)
		if err != nil {
			u.Error(err)
			return
		}
		for _, p := range differ(plain, streamed) {
			problems = append(problems, "streamed: "+p)
		}
		if plain.Status >= 500 || streamed.Status >= 500 {
			log, _ := os.ReadFile(u.runner.Log)
			u.Logf("%s, %s: %d %s, streamed %d %s; Model Runner's log ends\n%s", template, r.name, plain.Status, plain.Error, streamed.Status, streamed.Error, log[max(0, len(log)-3000):])
		}
		table.note(r, template, problems)
	}
}

// differ says what of an answer comes otherwise as a stream.
func differ(plain, streamed lab.Answer) (problems []string) {
	problems = streamed.Problems
	if plain.Stop == "max_tokens" || streamed.Stop == "max_tokens" { // chance decides what it says when nothing in the prompt does
		return problems
	}
	for _, what := range []struct {
		name      string
		one, then any
	}{
		{"status", plain.Status, streamed.Status}, {"error", plain.Error, streamed.Error}, {"stop reason", plain.Stop, streamed.Stop}, {"stop sequence", plain.StopSequence, streamed.StopSequence},
		{"tokens", plain.Input + plain.Cached, streamed.Input + streamed.Cached}, {"content", content(plain), content(streamed)},
	} {
		if what.one != what.then {
			problems = append(problems, fmt.Sprintf("the %s is %v, not %v", what.name, what.then, what.one))
		}
	}
	return problems
}

// content is what an answer says.
func content(a lab.Answer) string {
	var said []string
	for _, b := range a.Blocks {
		said = append(said, strings.Join([]string{b.Type, b.Name, strings.TrimSpace(b.Text), string(b.Input)}, " "))
	}
	return strings.Join(said, " | ")
}

// bytes is the request's body.
func (r request) bytes(template string, stream bool) []byte {
	most := r.maxTokens
	if most == 0 {
		most = 24
	}
	var marks []string
	for _, mark := range gguf.Marks(speaks(template)) {
		marks = append(marks, "OWL"+mark)
	}
	encoded, _ := json.Marshal(strings.Join(marks, " "))
	body := bytes.ReplaceAll([]byte(r.body), []byte("MARKS"), encoded[1:len(encoded)-1])
	return fmt.Appendf(nil, `{"model":"docker.io/ai/%s:latest","max_tokens":%d,"stream":%v,%s}`, template, most, stream, body)
}

func speaks(template string) string {
	if template == real {
		return "qwen3"
	}
	return template
}

// withoutTools are the templates that know no tools.
var withoutTools = []string{"gemma"}

// judge says what is wrong with an answer, and with what the engine had got for it.
func (r request) judge(template string, a lab.Answer, prompt string, tokens int64) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if r.refused != "" {
		if a.Status != http.StatusBadRequest || !strings.Contains(a.Error, r.refused) {
			problem("answered %d %q", a.Status, a.Error)
		}
		return problems
	}
	if a.Status != http.StatusOK {
		problem("refused with %d %s: %s %s", a.Status, a.Type, a.Error, strings.Join(a.Problems, ", "))
		return problems
	}
	problems = append(problems, a.Problems...)
	hasTools := !slices.Contains(withoutTools, template)
	if r.untold[speaks(template)] == "" {
		if missing := inOrder(prompt, r.words); missing != "" {
			problem("%q did not arrive in its place: %.1500q", missing, tail(prompt))
		}
	}
	if hasTools {
		for _, name := range r.tools {
			if !strings.Contains(prompt, name) {
				problem("the tool %s was not offered", name)
			}
		}
	}
	for _, word := range r.also {
		if !strings.Contains(prompt, word) {
			problem("%q did not arrive", word)
		}
	}
	if template == "gptoss" && !strings.Contains(prompt, "Reasoning: "+r.effort) {
		problem("it is not told the effort %q", r.effort)
	}
	absent := r.absent
	if strings.Contains(r.body, "MARKS") {
		for _, mark := range gguf.Marks(speaks(template)) {
			absent = append(absent, "OWL"+mark, "OWL "+mark)
		}
	}
	for _, word := range absent {
		if strings.Contains(prompt, word) {
			problem("%q reached the model", word)
		}
	}
	if told := a.Input + a.Cached; told > 0 && tokens != told+max(a.Output-1, 0) { // the last one it said it has not read
		problem("%d tokens of a prompt and %d of an answer were told, the engine holds %d", told, a.Output, tokens)
	}
	return append(problems, r.judgeAnswer(a, hasTools)...)
}

func (r request) judgeAnswer(a lab.Answer, hasTools bool) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	said, called := "", ""
	for _, b := range a.Blocks {
		switch b.Type {
		case "text":
			said += b.Text
		case "tool_use":
			called = b.Name
		case "thinking":
			if r.thoughtless {
				problem("it thinks %q", b.Text)
			}
		}
	}
	if r.says != "" && !strings.Contains(said, r.says) {
		problem("it says %q", said)
	}
	if r.stop != "" && a.Stop != r.stop && (hasTools || r.stop != "tool_use") {
		problem("it ended because of %q", a.Stop)
	}
	if hasTools && called != r.calls && (called == "" || called != r.atMost) {
		problem("it calls %q", called)
	}
	return problems
}

func tail(s string) string { return s[max(0, len(s)-700):] }

// inOrder returns the first word that does not come after those before it.
func inOrder(text string, words []string) (missing string) {
	for _, word := range words {
		_, after, found := strings.Cut(text, word)
		if !found {
			return word
		}
		text = after
	}
	return ""
}

// table counts what was answered rightly, by kind and template.
type table struct {
	mu          sync.Mutex
	kinds       []string
	columns     []string
	right, asks map[[2]string]int
	failures    []string
}

func newTable(columns []string, all []request) *table {
	t := &table{columns: columns, right: map[[2]string]int{}, asks: map[[2]string]int{}}
	for _, r := range all {
		if !slices.Contains(t.kinds, r.kind) {
			t.kinds = append(t.kinds, r.kind)
		}
	}
	return t
}

func (t *table) note(r request, template string, problems []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := [2]string{r.kind, template}
	if t.asks[at]++; len(problems) == 0 {
		t.right[at]++
		return
	}
	t.failures = append(t.failures, fmt.Sprintf("%s %-9s %s: %s", r.kind, template, r.name, strings.Join(problems, "; ")))
}

func (t *table) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "| | %s |\n|---%s|\n", strings.Join(t.columns, " | "), strings.Repeat("|---", len(t.columns)))
	for _, kind := range t.kinds {
		out.WriteString("| " + kind)
		for _, c := range t.columns {
			at := [2]string{kind, c}
			fmt.Fprintf(&out, " | %d/%d", t.right[at], t.asks[at])
		}
		out.WriteString(" |\n")
	}
	slices.Sort(t.failures)
	return out.String()
}
