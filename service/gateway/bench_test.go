package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/messages"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// longRequest is a request of about 100 KB, shaped as Claude Code's.
func longRequest() []byte {
	var messages []any
	for i := range 40 {
		text := map[string]any{"type": "text", "text": strings.Repeat("some words of a conversation\n", 85)}
		messages = append(messages, map[string]any{"role": []string{"user", "assistant"}[i%2], "content": []any{text}})
		if i == 0 {
			messages = append(messages, map[string]any{"role": "system", "content": "a reminder"})
		}
	}
	body, _ := json.Marshal(map[string]any{"model": "claude-opus-4-6", "max_tokens": 16, "stream": true, "system": "You are an agent.", "messages": messages})
	return body
}

// longTools are 20 tools of 80 KB, shaped as Claude Code's and its MCP servers'.
func longTools() (all []any) {
	describe := func(n int) string { return strings.Repeat("Says what this is for, and when to use it.\n", n) }
	for i := range 20 {
		properties := map[string]any{
			"command":     map[string]any{"type": "string", "description": describe(2)},
			"timeout":     map[string]any{"type": "integer", "description": describe(1), "exclusiveMinimum": 0, "maximum": 9007199254740991},
			"mode":        map[string]any{"type": "string", "enum": []string{"content", "files", "count"}, "description": describe(1), "default": "files"},
			"description": map[string]any{"type": []string{"string", "null"}, "description": describe(3)},
			"todos": map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"type": "object", "additionalProperties": false, "required": []string{"id", "done"}, "properties": map[string]any{
				"id": map[string]any{"type": "string", "minLength": 1}, "done": map[string]any{"type": "boolean"}, "level": map[string]any{"anyOf": []any{map[string]any{"type": "number"}, map[string]any{"type": "null"}}},
			}}},
		}
		all = append(all, map[string]any{"name": fmt.Sprintf("mcp__server__tool_%d", i), "description": describe(66), "input_schema": map[string]any{
			"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": properties, "required": []string{"command"}, "additionalProperties": false,
		}})
	}
	return all
}

func BenchmarkNormalise(b *testing.B) {
	plain := longRequest()
	tools, _ := json.Marshal(longTools())
	for name, body := range map[string][]byte{
		"conversation": plain,
		"tools":        append(append(slices.Clone(plain[:len(plain)-1]), `,"tools":`...), append(tools, '}')...),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := shape.Parse(body)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := r.For(shape.Model{Tag: "docker.io/ai/tiny:latest"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	in := strings.Replace(stream, "event: content_block_stop", strings.Repeat("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n", 1000)+"event: content_block_stop", 1)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		filter(b, strings.NewReader(in))
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	s := engine(&messages.Server{Answer: "well said", Model: "m"})
	upstream := httptest.NewServer(s)
	defer upstream.Close()
	g := New(Options{
		Tokens:   func() []string { return []string{token} },
		Upstream: func(context.Context) Upstream { return Upstream{URL: upstream.URL} },
		Model:    func(context.Context, string) Model { return Model{Tag: "m"} },
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = g.Serve(l) }()
	defer g.server.Close()
	body := string(longRequest())
	for name, url := range map[string]string{"direct": upstream.URL + "/anthropic/v1/messages", "gateway": "http://" + l.Addr().String() + "/v1/messages"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+token)
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}
