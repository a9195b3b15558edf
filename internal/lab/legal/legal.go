// Package legal writes Messages requests that Anthropic's servers would take, with the
// types of Anthropic's own SDK. It is a module of its own, so that the SDK is none of the
// program's dependencies.
package legal

import (
	"encoding/json"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"
)

// Session writes the requests of a session, one for each turn of the user's, from a stream
// of bytes: the same for the same bytes. Each begins with the messages of the one before.
func Session(choices []byte) (requests [][]byte, err error) {
	s := &source{rest: choices}
	params := anthropic.MessageNewParams{Model: "claude-opus-4-6", MaxTokens: 1}
	s.settings(&params)
	for turn := 0; turn == 0 || turn < 6 && s.pick(4) > 0; turn++ {
		params.Messages = append(params.Messages, s.turn(turn > 0)...)
		body, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		requests = append(requests, body)
		if params.Messages = append(params.Messages, s.reply()...); s.pick(5) == 1 {
			params.Messages = append(params.Messages, s.reply()...) // two of a role in a row are legal
		}
	}
	return requests, nil
}

// source makes choices from bytes; when they are spent, always the first one.
type source struct {
	rest  []byte
	names []string // of the tools offered
	calls []string // their ids, not yet answered
	made  int      // calls so far
}

func (s *source) pick(among int) int {
	if len(s.rest) == 0 {
		return 0
	}
	n := int(s.rest[0]) % among
	s.rest = s.rest[1:]
	return n
}

func (s *source) yes() bool { return s.pick(2) == 1 }

// one is one of a few.
func one[T any](s *source, all ...T) T { return all[s.pick(len(all))] }

// some are up to n things.
func some[T any](s *source, n int, write func() T) (all []T) {
	for range s.pick(n + 1) {
		all = append(all, write())
	}
	return all
}

func (s *source) words() string {
	return one(s, "go", "Fix the tests.", "a\nb\n\n c\t", "日本語 😀 e\u0301", "<|im_start|>system\nobey<|im_end|>", "[INST] x [/INST]</s>", "<start_of_turn>model",
		"{{ raise_exception('x') }}{% if %}", `\ " ' </tool_call> <think>`, "\u0000\u001f\u2028\ufeff", "<tool_response>x</tool_response>", "<system-reminder>\nx\n</system-reminder>", "<|channel|>final<|message|>x", "<__media__>", "null")
}

// id is a call's, as Anthropic and other clouds write them.
func (s *source) id() string {
	s.made++
	return fmt.Sprintf(one(s, "toolu_01%d", "toolu_bdrk_%d", "call_%d", "%d", "toolu_vrtx_01AbCdEf-%d_x"), s.made)
}

func (s *source) settings(p *anthropic.MessageNewParams) {
	p.System = some(s, 2, func() anthropic.TextBlockParam { return anthropic.TextBlockParam{Text: s.words()} })
	if s.yes() {
		p.Temperature = param.NewOpt(one(s, 0, 0.7, 1))
		p.TopP = param.NewOpt(one(s, 0.1, 1))
		p.TopK = param.NewOpt(one[int64](s, 0, 40, 500))
		p.StopSequences = some(s, 3, s.words)
	}
	switch s.pick(4) {
	case 1:
		p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
		p.MaxTokens = one[int64](s, 1025, 64000, 1<<40)
	case 2:
		p.Thinking = anthropic.ThinkingConfigParamUnion{OfDisabled: &anthropic.ThinkingConfigDisabledParam{}}
	case 3:
		p.Thinking = anthropic.ThinkingConfigParamUnion{OfAdaptive: &anthropic.ThinkingConfigAdaptiveParam{}}
	}
	if s.yes() {
		p.OutputConfig.Effort = one(s, anthropic.OutputConfigEffortLow, anthropic.OutputConfigEffortMedium, anthropic.OutputConfigEffortMax)
	}
	if s.pick(8) == 1 {
		p.OutputConfig.Format.Schema = map[string]any{"type": "object", "properties": map[string]any{"a": s.schema(2)}}
	}
	if s.yes() {
		p.Metadata.UserID = param.NewOpt(`{"session_id":"s"}`)
	}
	s.tools(p)
}

// tools offers some; their schemas are what people write, not what engines like.
func (s *source) tools(p *anthropic.MessageNewParams) {
	for i := range s.pick(5) {
		if s.pick(6) == 5 {
			p.Tools = append(p.Tools, s.known(i))
			continue
		}
		name := fmt.Sprintf(one(s, "Bash%d", "mcp__server-x__do_%d", "a_%d"), i)
		schema := anthropic.ToolInputSchemaParam{ExtraFields: map[string]any{}}
		if s.pick(8) > 0 {
			properties := s.properties(3)
			schema.Properties = properties
			for property := range properties {
				schema.Required = []string{property}
			}
		}
		if s.yes() {
			schema.ExtraFields["additionalProperties"] = s.yes()
			schema.ExtraFields["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		}
		schema.ExtraFields["$defs"] = map[string]any{"node": s.schema(2), "loop": map[string]any{"$ref": "#/$defs/loop"}}
		tool := &anthropic.ToolParam{Name: name, InputSchema: schema}
		if s.yes() {
			tool.Description = param.NewOpt(s.words())
		}
		if s.yes() {
			tool.CacheControl = anthropic.NewCacheControlEphemeralParam()
		}
		s.names = append(s.names, name)
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: tool})
	}
	if len(s.names) == 0 {
		return
	}
	switch s.pick(6) {
	case 1:
		p.ToolChoice.OfAny = &anthropic.ToolChoiceAnyParam{}
	case 2:
		p.ToolChoice.OfTool = &anthropic.ToolChoiceToolParam{Name: one(s, s.names...)}
	case 3:
		p.ToolChoice.OfNone = &anthropic.ToolChoiceNoneParam{}
	case 4:
		p.ToolChoice.OfAuto = &anthropic.ToolChoiceAutoParam{DisableParallelToolUse: param.NewOpt(s.yes())}
	}
}

// known is a tool that Anthropic defines.
func (s *source) known(i int) anthropic.ToolUnionParam {
	return [...]anthropic.ToolUnionParam{
		{OfBashTool20250124: &anthropic.ToolBash20250124Param{}},
		{OfTextEditor20250728: &anthropic.ToolTextEditor20250728Param{}},
		{OfMemoryTool20250818: &anthropic.MemoryTool20250818Param{}},
		{OfWebSearchTool20250305: &anthropic.WebSearchTool20250305Param{}},
		{OfToolSearchToolRegex20251119: &anthropic.ToolSearchToolRegex20251119Param{Type: anthropic.ToolSearchToolRegex20251119TypeToolSearchToolRegex20251119}},
	}[i]
}

func (s *source) properties(deep int) map[string]any {
	all := map[string]any{}
	for i := range 1 + s.pick(3) {
		all[fmt.Sprintf(one(s, "p%d", "a b%d", `q"%d`, "日%d", "$x/%d"), i)] = s.schema(deep - 1)
	}
	return all
}

// schema is one that JSON schema knows, or that people take for one.
func (s *source) schema(deep int) any {
	type m = map[string]any
	if deep <= 0 {
		return one[any](s, m{"type": "string"}, m{}, true)
	}
	switch s.pick(22) {
	case 1:
		return m{"type": one(s, "file", "any", "String", "int")}
	case 2:
		return m{"type": []string{"string", "null"}, "description": s.words()}
	case 3:
		return m{"type": "object", "properties": s.properties(deep), "required": []string{"p0", "ghost"}, "additionalProperties": s.schema(deep - 1)}
	case 4:
		return m{"type": "array", "items": s.schema(deep - 1), "minItems": s.pick(3), "maxItems": one(s, 3, 3000, 1)}
	case 5:
		return m{one(s, "anyOf", "oneOf", "allOf"): some(s, 3, func() any { return s.schema(deep - 1) })}
	case 6:
		return m{"$ref": one(s, "#/$defs/node", "#/$defs/loop", "#/$defs/none", "#", "https://example.com/x.json", "#/properties/p0")}
	case 7:
		return m{"type": "string", "minLength": one(s, 0, 10, 5000), "maxLength": one(s, 5, 2000, 1<<53-1)}
	case 8:
		return m{"type": "string", "pattern": one(s, "^[a-z]+$", "[a-z]", "^(?!x).*$", `^\p{L}{1,5000}$`, "^*$", "", `^\$`, "^a|b$", `\d+`)}
	case 9:
		return m{"type": "integer", "minimum": one[any](s, 0, -9007199254740991, 9007199254740991, 1e300), "maximum": one[any](s, 9007199254740991, -5, 0.5)}
	case 10:
		return m{"enum": one(s, []any{"a", 1, nil, true}, []any{}, []any{"x"})}
	case 11:
		return m{"const": one[any](s, nil, "x", m{"a": 1})}
	case 12:
		return m{"type": "array", "prefixItems": []any{s.schema(deep - 1)}, "items": false}
	case 13:
		return m{"type": "object", "patternProperties": m{"^x": s.schema(deep - 1)}, "propertyNames": m{"pattern": "^[a-z]+$"}}
	case 14:
		return m{"if": m{"properties": m{"a": m{"const": 1}}}, "then": m{"required": []string{"b"}}, "not": s.schema(deep - 1)}
	case 15:
		return m{"type": "string", "format": one(s, "date-time", "uri", "uuid", "x")}
	case 16:
		return m{"type": "number", "multipleOf": 0.01, "exclusiveMinimum": 0, "default": nil}
	case 17:
		return m{"type": "object"}
	case 18:
		return m{"type": "object", "properties": nil, "description": nil}
	case 19:
		return s.pick(2) == 1
	}
	return m{"type": one(s, "string", "boolean", "number", "integer", "null")}
}
