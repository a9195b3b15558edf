package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

func BenchmarkNormalise(b *testing.B) {
	body := longRequest()
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
