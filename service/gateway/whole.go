package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// maxTokens is why an answer stops that became as long as its request allows.
const maxTokens = "max_tokens"

// completeMessage is a message with all that Anthropic's must have, but for its content.
func completeMessage(message []document.Member, asked string, newID func(string) string) []document.Member {
	if document.Field(message, "id") == "" {
		message = with(message, "id", document.Quote(newID("msg_")))
	}
	message = with(message, "type", []byte(`"message"`))
	message = with(message, "role", []byte(`"assistant"`))
	message = with(message, "model", document.Quote(asked))
	counts, _ := document.Members(document.Find(message, "usage"))
	usage := document.Object(numbers(counts, "input_tokens", "output_tokens"), "")
	return with(message, "usage", usage.Bytes())
}

// stopped is the end of a message with a reason that Anthropic has: llama.cpp says end_turn
// beside a stop sequence, others say nothing, or use OpenAI's words.
func stopped(end []document.Member, called bool) []document.Member {
	reason, sequence := document.Field(end, "stop_reason"), document.Field(end, "stop_sequence")
	switch reason {
	case maxTokens, "pause_turn", "refusal", "model_context_window_exceeded", "tool_use":
	case "length":
		reason = maxTokens
	case "tool_calls", "function_call":
		reason = "tool_use"
	default:
		reason = "end_turn"
		switch {
		case sequence != "":
			reason = "stop_sequence"
		case called:
			reason = "tool_use"
		}
	}
	end = with(end, "stop_reason", document.Quote(reason))
	if reason != "stop_sequence" {
		end = with(end, "stop_sequence", []byte("null"))
	}
	return end
}

// speaks reports whether a block says or does something; thinking alone does not.
func speaks(kind, text string) bool {
	switch kind {
	case "thinking", "redacted_thinking":
		return false
	case "text":
		return text != ""
	}
	return true
}

// answerJSON checks and repairs an answer that was not streamed. prefill is what the request
// had begun it with, which is not repeated. cut reports whether it
// became too long.
func answerJSON(body []byte, asked, prefill string) (out []byte, said usage, cut bool, err error) {
	answer, err := document.Members(body)
	if err != nil {
		return nil, said, false, fmt.Errorf("it is not a message: %w", err)
	}
	if document.Field(answer, "type") != "message" {
		return nil, said, false, errors.New("it is not a message")
	}
	content := document.Find(answer, "content")
	blocks, err := document.Elements(content)
	if err != nil && content.Kind() != 'n' && content != nil {
		return nil, said, cut, errors.New("its content is not a list")
	}
	m := message{newID: newID}
	list := m.completeBlocks(blocks, prefill)
	answer = completeMessage(answer, asked, newID)
	answer = stopped(with(answer, "content", list), m.called)
	whole := document.Object(answer, "")
	return whole.Bytes(), usageOf(document.Find(answer, "usage")), document.Field(answer, "stop_reason") == maxTokens, nil
}

// completeBlocks is the content of an answer, complete and not silent.
func (m *message) completeBlocks(blocks []jsontext.Value, prefill string) []byte {
	var list []document.Rope
	for _, v := range blocks {
		b, err := document.Members(v)
		if err != nil {
			continue
		}
		b = completeBlock(b, m.unusedID)
		kind := document.Field(b, "type")
		if rest, repeated := strings.CutPrefix(document.Field(b, "text"), prefill); prefill != "" && kind == "text" && repeated {
			b, prefill = with(b, "text", document.Quote(rest)), ""
		}
		if kind == "text" && document.Field(b, "text") == "" {
			continue // Anthropic refuses an empty text when it comes back
		}
		m.called = m.called || kind == "tool_use"
		m.spoke = m.spoke || speaks(kind, document.Field(b, "text"))
		list = append(list, document.Object(b, ""))
	}
	if !m.spoke {
		var silent document.Rope
		silent.Text(`{"type":"text","text":"` + silence + `"}`)
		list = append(list, silent)
	}
	whole := document.Array(list)
	return whole.Bytes()
}
