package lab

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(data))
}

// What everything else builds on: the real Model Runner starts the engine, real
// or double, and both keep the contract.
func TestTheRealRunnerSpeaksThroughTheEngine(t *testing.T) {
	parts, err := Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runner, err := StartRunner(t.Context(), parts, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runner.Stop)
	for name, m := range map[string]gguf.Model{
		"ai/tiny":   {},
		"ai/strict": {Strict: true},
		"ai/oom":    {Behaviour: "oom"},
		"ai/small":  {Context: 2048},
		"ai/mute":   {Behaviour: "no-tools"},
	} {
		if err := runner.Add(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	const tools = `"tools":[{"name":"ping","input_schema":{"type":"object"}}],`
	tests := []struct {
		name, path, body string
		status           int
		want             string
		doubleOnly       bool
	}{
		{"plain", "messages", `{"model":"docker.io/ai/tiny:latest","max_tokens":50,"messages":[{"role":"user","content":"hi\n"}]}`, 200, gguf.Answer, false},
		{"streaming", "messages", `{"model":"ai/tiny","max_tokens":50,"stream":true,"messages":[{"role":"user","content":"hi\n"}]}`, 200, "event: message_stop", false},
		{"count", "messages/count_tokens", `{"model":"ai/tiny","messages":[{"role":"user","content":"hi\n"}]}`, 200, `"input_tokens":`, false},
		{"lenient template", "messages", `{"model":"ai/tiny","max_tokens":50,"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c\n"}]}`, 200, gguf.Answer, false},
		{"strict template", "messages", `{"model":"ai/strict","max_tokens":50,"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c\n"}]}`, 400, "System message must be at the beginning", false},
		{"overflow", "messages", `{"model":"ai/small","max_tokens":50,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 4000) + `"}]}`, 400, "exceed", false},
		{"no such model", "messages", `{"model":"ai/none","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, 404, "not found", false},
		{"tool call", "messages", `{"model":"ai/tiny","max_tokens":50,` + tools + `"messages":[{"role":"user","content":"Call the tool ping with {\"a\":1}"}]}`, 200, `"type":"tool_use"`, true},
		{"tool call as text", "messages", `{"model":"ai/mute","max_tokens":50,` + tools + `"messages":[{"role":"user","content":"Call the tool ping with {}"}]}`, 200, "tool_call", true},
		{"out of memory", "messages", `{"model":"ai/oom","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, 500, "not enough GPU memory", true},
		{"crash", "messages", `{"model":"ai/tiny","max_tokens":50,"messages":[{"role":"user","content":"[[crash]]"}]}`, 500, "terminated unexpectedly", true},
		{"an order before a system message", "messages", `{"model":"ai/tiny","max_tokens":50,"messages":[{"role":"user","content":"[[crash]]"},{"role":"system","content":"more"}]}`, 500, "terminated unexpectedly", true},
		{"an order before the last answer", "messages", `{"model":"ai/tiny","max_tokens":50,"messages":[{"role":"user","content":"[[crash]]"},{"role":"assistant","content":"a"},{"role":"user","content":"more"}]}`, 200, gguf.Answer, true},
		{"alive after the crash", "messages", `{"model":"ai/tiny","max_tokens":50,"messages":[{"role":"user","content":"hi\n"}]}`, 200, gguf.Answer, true},
	}
	for _, tt := range tests {
		if tt.doubleOnly && parts.RealEngine {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			status, body := post(t, runner.URL+"/anthropic/v1/"+tt.path, tt.body)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %.600s, want %d %q", status, body, tt.status, tt.want)
			}
		})
	}
}

func TestModelsArePulledFromTheRegistry(t *testing.T) {
	parts, err := Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	runner, err := StartRunner(t.Context(), parts, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runner.Stop)
	address, stop, err := Registry(parts, dir, map[string]gguf.Model{"ai/pulled:v1": {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	status, body := post(t, runner.URL+"/models/create", `{"from":"`+address+`/ai/pulled:v1"}`)
	if status != http.StatusOK || !strings.Contains(body, `"type":"success"`) {
		t.Errorf("%d %s", status, body)
	}
}
