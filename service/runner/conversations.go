package runner

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// conversation is a kind of request that Claude Code sends sooner or later, and that
// some chat template or engine refuses. The answer does not matter.
type conversation struct {
	name     string
	what     string // that must be accepted, in a sentence
	many     bool   // what is a plural
	minor    bool   // many a session goes without
	messages []message
	tools    []any
}

type blocks []map[string]any

func text(said string) map[string]any { return map[string]any{"type": "text", "text": said} }

func call(id, word string) map[string]any {
	return map[string]any{"type": "tool_use", "id": id, "name": "report_word", "input": map[string]string{"word": word}}
}

func result(id string) map[string]any {
	return map[string]any{"type": "tool_result", "tool_use_id": id, "content": "reported"}
}

// reportWord is a tool with a plain schema.
var reportWord = map[string]any{
	"name": "report_word", "description": "Reports one word to the user.",
	"input_schema": map[string]any{
		"type": "object", "required": []string{"word"},
		"properties": map[string]any{"word": map[string]string{"type": "string", "description": "the word"}},
	},
}

// oddTool has a schema as MCP servers publish them: legal or nearly, and too much for
// the grammar of one llama.cpp or another.
var oddTool = map[string]any{
	"name": "odd", "description": "Does nothing.",
	"input_schema": map[string]any{
		"type": "object",
		"properties": map[string]any{
			"anything": true, "file": map[string]any{"type": "file"}, "elsewhere": map[string]any{"$ref": "#/$defs/nowhere"},
			"long": map[string]any{"type": "object", "properties": map[string]any{"text": map[string]any{"type": "string", "maxLength": 5000, "pattern": `\p{L}+`}}},
			"many": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "maxItems": 3000},
		},
	},
}

// conversations are proven with identifiers as the engine may give them, except where a
// foreign one is the point: nine letters and digits satisfy every template.
var conversations = []conversation{
	{name: "tool_result", what: "a tool's result", messages: []message{
		{"user", "Report ready.\n"}, {"assistant", blocks{call("call00001", "ready")}}, {"user", blocks{result("call00001")}},
	}},
	{name: "two_calls", what: "two tool calls in one turn", many: true, messages: []message{
		{"user", "Report yes and no.\n"}, {"assistant", blocks{call("call00001", "yes"), call("call00002", "no")}},
		{"user", blocks{result("call00001"), result("call00002")}},
	}},
	{name: "cloud_history", what: "a conversation that began in the cloud", minor: true, messages: []message{
		{"user", "Report ready.\n"}, {"assistant", blocks{text("I report it."), call("toolu_01D7FLrfh4GYq7yT1ULFeyMV", "ready")}},
		{"user", blocks{result("toolu_01D7FLrfh4GYq7yT1ULFeyMV")}},
	}},
	{name: "late_text", what: "text after a tool's result", messages: []message{
		{"user", "Report ready.\n"}, {"assistant", blocks{call("call00001", "ready")}}, {"user", blocks{result("call00001"), text("Say hello.\n")}},
	}},
	{name: "late_reminder", what: "a reminder after a tool's result", messages: []message{
		{"user", "Report ready.\n"}, {"assistant", blocks{call("call00001", "ready")}}, {"user", blocks{result("call00001")}}, {"system", "Be brief."},
	}},
	{name: "odd_schema", what: "a tool with an odd schema", minor: true, messages: []message{{"user", "Say hello.\n"}}, tools: []any{reportWord, oddTool}},
}

// Conversations are the names of the proofs that send conversations.
func Conversations() []string {
	names := make([]string, len(conversations))
	for i, talk := range conversations {
		names[i] = talk.name
	}
	return names
}

// proveConversation shows that a conversation is accepted.
func (c *Client) proveConversation(ctx context.Context, tag string, talk conversation) (detail, remedy string, err error) {
	err = c.send(ctx, tag, talk)
	is, was := " is", " was"
	if talk.many {
		is, was = " are", " were"
	}
	if failed := refusal(err); failed != nil {
		if c.messages != nil {
			return failed.Why, "choose another model", nil
		}
		return talk.what + is + " refused: " + failed.Why, "start Switchyard (switchyard) and switch through its gateway, which sends it in a form that the model accepts", nil
	}
	if err != nil {
		return "", "", err
	}
	return talk.what + was + " accepted", "", nil
}

func (c *Client) send(ctx context.Context, tag string, talk conversation) error {
	tools := talk.tools
	if tools == nil {
		tools = []any{reportWord}
	}
	_, err := c.say(ctx, "sending "+talk.what+" to "+tag, map[string]any{
		"model": tag, "max_tokens": 8, "system": "You are a test.", "messages": talk.messages, "tools": tools,
	})
	return err
}

// refusal is an error that says that the request was not taken; nil for any other.
func refusal(err error) *Error {
	var failed *Error
	if errors.As(err, &failed) && slices.Contains([]verdict.Reason{verdict.TemplateRefused, verdict.SchemaRefused, verdict.Refused}, failed.reason) {
		return failed
	}
	return nil
}

// callsTools reports whether the model calls a tool that it is asked to call, and what came instead.
func (c *Client) callsTools(ctx context.Context, tag string) (calls bool, instead string, err error) {
	// Nothing forces the call: Claude Code does not either, and a forced one
	// would hide a model that writes its calls as text.
	content, err := c.say(ctx, "asking "+tag+" for a tool call", map[string]any{
		"model": tag, "max_tokens": 512, "temperature": 0,
		"system":   "Use the tools you are given. Answer with a tool call only.",
		"tools":    []any{reportWord},
		"messages": []message{{"user", "Call the tool report_word with {\"word\":\"ready\"} now.\n"}},
	})
	for _, b := range content {
		if b.Type == "tool_use" && b.Name == "report_word" {
			return true, "", nil
		}
		if strings.Contains(b.Text, "tool_call") || strings.Contains(b.Text, `"arguments"`) {
			instead = "the tool call came back as text"
		}
	}
	return false, cmp.Or(instead, "no tool call came back, only text"), err
}

// carriesTools reports whether the runner itself, without a gateway, lets the model call a
// tool and takes the result.
func (c *Client) carriesTools(ctx context.Context, tag string) (carries bool, err error) {
	direct := &Client{endpoint: c.endpoint, http: c.http}
	calls, _, err := direct.callsTools(ctx, tag)
	if err == nil && calls {
		err = direct.send(ctx, tag, conversations[0])
		carries = err == nil
	}
	if refusal(err) != nil {
		err = nil
	}
	return carries, err
}

func (c *Client) proveTool(ctx context.Context, m Model, tag string) (detail, remedy string, err error) {
	calls, instead := false, ""
	if !m.NoTools {
		calls, instead, err = c.callsTools(ctx, tag)
	}
	if failed := refusal(err); failed != nil {
		instead, err = failed.Why, nil
	}
	if err == nil && !calls && (m.NoTools || c.messages != nil) {
		// The gateway writes tools as text for a model that it believes to know none. But the
		// engine may have another template than the file, or what a refusal taught was wrong.
		calls, err = c.carriesTools(ctx, tag)
	}
	switch {
	case err != nil:
		return "", "", err
	case calls:
		return "called", "", nil
	case m.NoTools:
		return "its chat template has no tools, so Claude Code could only talk",
			"choose a model that calls tools, such as ai/qwen3-coder (switchyard pull); or switch with --force, only to talk", nil
	}
	return instead, "choose a model that can call tools (docker model search, look for \"tools\"); without them Claude Code can only talk", nil
}
