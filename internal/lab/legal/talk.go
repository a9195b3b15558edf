package legal

import (
	"encoding/base64"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"
)

type block = anthropic.ContentBlockParamUnion

// pixel is a picture of one.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// turn is what a user says: first the results of the calls before, as Anthropic's servers
// want them.
func (s *source) turn(goesOn bool) []anthropic.MessageParam {
	var said []block
	for _, id := range s.calls {
		said = append(said, s.result(id))
	}
	s.calls = nil
	said = append(said, some(s, 3, s.piece)...)
	if len(said) == 0 {
		said = []block{anthropic.NewTextBlock(s.words())}
	}
	turn := []anthropic.MessageParam{anthropic.NewUserMessage(said...)}
	for goesOn && s.pick(4) == 1 {
		turn = append(turn, anthropic.NewUserMessage(s.piece()))
	}
	if s.pick(4) == 1 { // as Claude Code writes its reminders
		turn = append(turn, anthropic.MessageParam{Role: "system", Content: []block{anthropic.NewTextBlock(s.words())}})
	}
	return turn
}

// piece is a part of what a user says.
func (s *source) piece() block {
	switch s.pick(8) {
	case 1:
		return anthropic.NewImageBlockBase64("image/png", pixel)
	case 2:
		return anthropic.NewImageBlock(anthropic.URLImageSourceParam{URL: "https://example.com/a.png"})
	case 3:
		return anthropic.NewDocumentBlock(anthropic.PlainTextSourceParam{Data: s.words()})
	case 4:
		return anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: base64.StdEncoding.EncodeToString([]byte("%PDF-1.4"))})
	case 5:
		return anthropic.NewSearchResultBlock([]anthropic.TextBlockParam{{Text: s.words()}}, "https://example.com", s.words())
	}
	text := anthropic.NewTextBlock(s.words())
	if s.yes() {
		text.OfText.CacheControl = anthropic.NewCacheControlEphemeralParam()
	}
	return text
}

// result answers a call.
func (s *source) result(id string) block {
	result := &anthropic.ToolResultBlockParam{ToolUseID: id}
	if s.yes() {
		result.IsError = param.NewOpt(s.yes())
	}
	result.Content = some(s, 3, func() anthropic.ToolResultBlockParamContentUnion {
		switch s.pick(6) {
		case 1:
			return anthropic.ToolResultBlockParamContentUnion{OfImage: anthropic.NewImageBlockBase64("image/png", pixel).OfImage}
		case 2:
			return anthropic.ToolResultBlockParamContentUnion{OfDocument: anthropic.NewDocumentBlock(anthropic.PlainTextSourceParam{Data: s.words()}).OfDocument}
		case 3:
			return anthropic.ToolResultBlockParamContentUnion{OfSearchResult: anthropic.NewSearchResultBlock([]anthropic.TextBlockParam{{Text: s.words()}}, "s", "t").OfSearchResult}
		case 4:
			return anthropic.ToolResultBlockParamContentUnion{OfToolReference: &anthropic.ToolReferenceBlockParam{ToolName: "Bash0"}}
		}
		return anthropic.ToolResultBlockParamContentUnion{OfText: &anthropic.TextBlockParam{Text: s.words()}}
	})
	return block{OfToolResult: result}
}

// reply is what the model said, here or in the cloud before.
func (s *source) reply() []anthropic.MessageParam {
	var said []block
	if len(s.calls) > 0 {
		return nil // a call is answered first
	}
	if s.pick(3) == 1 {
		said = append(said, anthropic.NewThinkingBlock("c2ln", s.words()))
	}
	if s.pick(6) == 1 {
		said = append(said, anthropic.NewRedactedThinkingBlock("eA=="))
	}
	if s.pick(6) == 1 {
		said = append(said,
			anthropic.NewServerToolUseBlock("srvtoolu_1", map[string]any{"query": "x"}, "web_search"),
			anthropic.NewWebSearchToolResultBlock([]anthropic.WebSearchResultBlockParam{{EncryptedContent: "x", Title: "t", URL: "https://example.com"}}, "srvtoolu_1"))
	}
	if s.pick(4) > 0 {
		said = append(said, anthropic.NewTextBlock(s.words()))
	}
	for range s.pick(4) {
		id, name := s.id(), "gone" // a tool that is not offered any more
		if len(s.names) > 0 {
			name = one(s, s.names...)
		}
		said = append(said, anthropic.NewToolUseBlock(id, one[any](s, map[string]any{"command": s.words()}, map[string]any{}, map[string]any{"a": []any{1, nil, map[string]any{"b": 0.5}}}), name))
		s.calls = append(s.calls, id)
	}
	if len(said) == 0 {
		said = []block{anthropic.NewTextBlock("done")}
	}
	return []anthropic.MessageParam{anthropic.NewAssistantMessage(said...)}
}
