// Package messages answers Anthropic's Messages API the way a llama-server does,
// or as a company's gateway to the cloud would. It is a double: it follows the
// protocol and says one sentence.
//
// A prompt can order something: "[[crash]]" ends the process, "[[slow 5s]]"
// waits before the first byte, and "Call the tool NAME with {…}" is answered with
// that tool call.
package messages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server answers one model's requests.
type Server struct {
	Answer  string
	Model   string        // the name in the answers
	Context int           // tokens; 0 means no limit
	Strict  bool          // 400 on a system message in mid-conversation
	NoTools bool          // tool calls come back as text
	Plain   bool          // 400 on a tool's result, and no tool calls
	ShortID bool          // 400 on a tool call's id that is not nine letters and digits
	Slow    time.Duration // before the first byte of every answer

	// OnRequest, when set, sees each decoded request before it is answered.
	OnRequest func(*http.Request, Request)

	mu   sync.Mutex
	last string // the previous prompt: what a prefix cache holds
}

// Request is the part of a Messages request that matters here.
type Request struct {
	Model    string          `json:"model"`
	System   json.RawMessage `json:"system"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
	Stream bool `json:"stream"`
}

// bytesPerToken is a usual rate for English text and code.
const bytesPerToken = 4

var (
	order  = regexp.MustCompile(`\[\[(crash|slow)(?: ([^\]]*))?\]\]`)
	toolID = regexp.MustCompile(`"tool_use_id":"([^"]*)"`)
	call   = regexp.MustCompile(`Call the tool (\w+) with (\{[^}]*\})`)
)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("X-Preload-Only") == "true": // as Model Runner answers once the model is loaded
	case strings.HasSuffix(r.URL.Path, "/v1/messages/count_tokens"):
		if req, ok := s.decode(w, r); ok {
			reply(w, http.StatusOK, map[string]int{"input_tokens": tokens(prompt(req))})
		}
	case strings.HasSuffix(r.URL.Path, "/v1/messages"):
		if req, ok := s.decode(w, r); ok {
			s.message(w, r, req)
		}
	case r.Method == http.MethodHead, strings.HasSuffix(r.URL.Path, "/api/hello"):
		w.WriteHeader(http.StatusOK)
	default:
		reply(w, http.StatusNotFound, map[string]any{"type": "error", "error": map[string]string{"type": "not_found_error", "message": "not found"}})
	}
}

func (s *Server) decode(w http.ResponseWriter, r *http.Request) (Request, bool) {
	var req Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 32<<20)).Decode(&req); err != nil {
		refuse(w, "invalid_request_error", "not a Messages request", nil)
		return req, false
	}
	if s.OnRequest != nil {
		s.OnRequest(r, req)
	}
	return req, true
}

// refuse answers 400 as llama-server words it.
func refuse(w http.ResponseWriter, kind, message string, more map[string]any) {
	body := map[string]any{"code": 400, "message": message, "type": kind}
	for k, v := range more {
		body[k] = v
	}
	reply(w, http.StatusBadRequest, map[string]any{"error": body})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) message(w http.ResponseWriter, r *http.Request, req Request) {
	text := prompt(req)
	if why := s.objection(req, text); why != "" {
		refuse(w, "invalid_request_error", "Error: Jinja Exception: "+why, nil)
		return
	}
	if n := tokens(text); s.Context > 0 && n > s.Context {
		refuse(w, "exceed_context_size_error", "the request exceeds the available context size, try increasing it",
			map[string]any{"n_prompt_tokens": n, "n_ctx": s.Context})
		return
	}
	wait, tool, arguments := s.Slow, "", json.RawMessage("{}")
	asked := "" // since the last answer: Claude Code 2.1.330 may put a system message behind the prompt
	for _, m := range slices.Backward(req.Messages) {
		if m.Role == "assistant" {
			break
		}
		asked = plain(m.Content) + "\n" + asked
	}
	for _, m := range order.FindAllStringSubmatch(asked, -1) {
		if m[1] == "crash" {
			os.Exit(3)
		}
		wait, _ = time.ParseDuration(m[2])
	}
	if m := call.FindStringSubmatch(asked); m != nil && json.Valid([]byte(m[2])) {
		tool, arguments = m[1], json.RawMessage(m[2])
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(wait):
	}
	content := map[string]any{"type": "text", "text": s.Answer}
	stop := "end_turn"
	switch {
	case tool != "" && len(req.Tools) > 0 && !s.NoTools && !s.Plain:
		content = map[string]any{"type": "tool_use", "id": fmt.Sprintf("toolu_%x", time.Now().UnixNano()), "name": tool, "input": arguments}
		stop = "tool_use"
	case tool != "" && !s.Plain:
		content["text"] = fmt.Sprintf(`<tool_call>{"name":%q,"arguments":%s}</tool_call>`, tool, arguments)
	}
	cached := s.remember(text)
	usage := map[string]int{"input_tokens": tokens(text) - cached, "cache_read_input_tokens": cached, "output_tokens": len(strings.Fields(s.Answer))}
	message := map[string]any{
		"id": fmt.Sprintf("chatcmpl-%x", time.Now().UnixNano()), "type": "message", "role": "assistant",
		"model": s.Model, "content": []any{content}, "stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
	if req.Stream {
		stream(w, message, content, stop, usage)
		return
	}
	reply(w, http.StatusOK, message)
}

// objection is what the model's chat template says against a request; empty: nothing.
func (s *Server) objection(req Request, text string) string {
	for i, m := range req.Messages {
		if s.Strict && m.Role == "system" && (i > 0 || len(req.System) > 0) {
			return "System message must be at the beginning."
		}
	}
	for _, id := range toolID.FindAllStringSubmatch(text, -1) {
		if s.ShortID && len(id[1]) != 9 {
			return "Tool call IDs should be alphanumeric strings with length 9!"
		}
	}
	if s.Plain && strings.Contains(text, `"tool_result"`) {
		return "Conversation roles must alternate user/assistant/user/assistant/..."
	}
	return ""
}

func (s *Server) remember(text string) (cached int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := 0
	for shared < min(len(text), len(s.last)) && text[shared] == s.last[shared] {
		shared++
	}
	s.last = text
	return shared / bytesPerToken
}

func stream(w http.ResponseWriter, message, content map[string]any, stop string, usage map[string]int) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string, data map[string]any) {
		data["type"] = event
		encoded, _ := json.Marshal(data)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, encoded)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	message["content"], message["stop_reason"] = []any{}, nil
	send("message_start", map[string]any{"message": message})
	if content["type"] == "text" {
		send("content_block_start", map[string]any{"index": 0, "content_block": map[string]string{"type": "text", "text": ""}})
		for _, word := range strings.SplitAfter(content["text"].(string), " ") {
			send("content_block_delta", map[string]any{"index": 0, "delta": map[string]string{"type": "text_delta", "text": word}})
		}
	} else {
		block := map[string]any{"type": "tool_use", "id": content["id"], "name": content["name"], "input": map[string]any{}}
		send("content_block_start", map[string]any{"index": 0, "content_block": block})
		send("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "input_json_delta", "partial_json": string(content["input"].(json.RawMessage))}})
	}
	send("content_block_stop", map[string]any{"index": 0})
	send("message_delta", map[string]any{"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]int{"output_tokens": usage["output_tokens"]}})
	send("message_stop", map[string]any{})
}

// prompt is the request as one text, in a fixed order.
func prompt(req Request) string {
	var b strings.Builder
	b.Write(req.System)
	for _, t := range req.Tools {
		b.WriteString(t.Name)
	}
	for _, m := range req.Messages {
		b.WriteString("\n" + m.Role + ": ")
		b.Write(m.Content)
	}
	return b.String()
}

func tokens(text string) int { return (len(text) + bytesPerToken - 1) / bytesPerToken }

// plain returns the text of a message's content, a string or a list of blocks.
func plain(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var blocks []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &blocks)
	for _, b := range blocks {
		text += b.Text + "\n"
	}
	return text
}
