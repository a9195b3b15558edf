package gguf

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed templates
var templates embed.FS

// Templates are the chat templates that a Model may name, written after the
// published ones: what these refuse, these refuse.
func Templates() []string {
	return []string{"hermes", "strict", "qwen3", "qwencoder", "qwen35", "mistral", "nemo", "llama31", "gemma", "gptoss"}
}

// speech is how a family of models speaks.
type speech struct {
	marks   []string // its control tokens; the last one ends what it says
	ends    []string // what a prompt for an answer may end with: a mark, or bytes
	thinks  string   // after this it thinks first
	before  string   // what it writes before its words
	callEnd string   // the mark after a call; empty: the one that ends its words
	opens   bool     // the prompt for a call has the call's first part, see gptossCall
	call    func([]Use) string
}

var (
	chatML  = []string{"<|im_start|>", "<|im_end|>"}
	newline = []string{"\n", "\n\n"}

	speeches = map[string]speech{
		"hermes":    {marks: chatML, ends: newline, call: hermesCall},
		"strict":    {marks: chatML, ends: newline, call: hermesCall},
		"qwen3":     {marks: chatML, ends: newline, call: hermesCall},
		"qwencoder": {marks: chatML, ends: newline, call: coderCall},
		"qwen35":    {marks: chatML, ends: newline, call: coderCall, thinks: "<think>\n"},
		"mistral": {marks: []string{"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "</s>"},
			ends: []string{"[/INST]", "[/TOOL_RESULTS]"}, call: mistralCall},
		"nemo": {marks: []string{"[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "</s>"},
			ends: []string{"[/INST]", "[/TOOL_RESULTS]"}, call: nemoCall},
		"llama31": {marks: []string{"<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"}, ends: newline, call: llamaCall},
		"gemma":   {marks: []string{"<start_of_turn>", "<end_of_turn>"}, ends: newline},
		"gptoss": {marks: []string{"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"},
			ends: []string{"assistant"}, before: "<|channel|>final<|message|>", callEnd: "<|call|>", opens: true, call: gptossCall},
	}
)

func hermesCall(uses []Use) string {
	var out []string
	for _, u := range uses {
		out = append(out, fmt.Sprintf("<tool_call>\n{\"name\": %q, \"arguments\": %s}\n</tool_call>", u.Name, u.Input))
	}
	return strings.Join(out, "\n")
}

func coderCall(uses []Use) string {
	var out strings.Builder
	for i, u := range uses {
		if i > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "<tool_call>\n<function=%s>\n", u.Name)
		var input map[string]any
		_ = json.Unmarshal([]byte(u.Input), &input)
		for _, name := range sorted(input) {
			value, isText := input[name].(string)
			if !isText {
				data, _ := json.Marshal(input[name])
				value = string(data)
			}
			fmt.Fprintf(&out, "<parameter=%s>\n%s\n</parameter>\n", name, value)
		}
		out.WriteString("</function>\n</tool_call>")
	}
	return out.String()
}

func sorted(m map[string]any) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func mistralCall(uses []Use) (out string) {
	for _, u := range uses {
		out += "[TOOL_CALLS]" + u.Name + "[ARGS]" + u.Input
	}
	return out
}

// nemoCall has an id for each call, as Nemo writes them; Claude Code takes one that comes again for the same call.
func nemoCall(uses []Use) string {
	var out []string
	for _, u := range uses {
		id := sha256.Sum256([]byte(u.Name + u.Input))
		out = append(out, fmt.Sprintf(`{"name": %q, "arguments": %s, "id": %q}`, u.Name, u.Input, hex.EncodeToString(id[:])[:9]))
	}
	return "[TOOL_CALLS][" + strings.Join(out, ", ") + "]"
}

// llamaCall is the first one: Llama 3.1 makes one at a time.
func llamaCall(uses []Use) string {
	return fmt.Sprintf(`{"name": %q, "parameters": %s}`, uses[0].Name, uses[0].Input)
}

// gptossCall is the first one: gpt-oss makes one at a time. Its parser takes nothing between the prompt and the channel.
func gptossCall(uses []Use) string {
	return "<|channel|>commentary to=functions." + uses[0].Name + " <|constrain|>json<|message|>" + uses[0].Input
}

// template is the chat template, with an end that asks for the model's calls.
func (m Model) template() (string, error) {
	jinja, err := m.jinja()
	if err != nil {
		return "", err
	}
	if speeches[m.speaks()].call == nil {
		return jinja, nil
	}
	var ask strings.Builder
	ask.WriteString("{%- if add_generation_prompt and tools and lab_last %}")
	word := "if"
	for i, c := range m.calls() {
		fmt.Fprintf(&ask, "{%%- %s '%s' in lab_last and '\"%s\"' in (tools | tojson) %%}", word, c.When, c.Tools[0].Name)
		if speeches[m.speaks()].thinks != "" {
			ask.WriteString("{%- if not (enable_thinking is defined and enable_thinking is false) %}{{- '</think>\n\n' }}{%- endif %}")
		}
		fmt.Fprintf(&ask, "{{- '%s' }}", m.callMark(i, c.Tools))
		word = "elif"
	}
	ask.WriteString("{%- endif %}{%- endif %}")
	const last = "{%- set lab_last = messages[-1].content | string if messages and messages[-1].role != 'tool' and messages[-1].content else none %}"
	return last + jinja + ask.String(), nil
}

// callMark ends a prompt that is answered with a call. Parsers take it for the white
// space between the prompt and the answer.
func (m Model) callMark(i int, uses []Use) string {
	if s := speeches[m.speaks()]; s.opens {
		return strings.TrimSuffix(s.call(uses), uses[0].Input)
	}
	return strings.Repeat("\v", i+1)
}

func (m Model) jinja() (string, error) {
	if m.Jinja != "" {
		return m.Jinja, nil
	}
	if m.Tokenizer != "" && m.Template == "" {
		var config struct {
			Template string `json:"chat_template"`
		}
		data, err := os.ReadFile(filepath.Join(m.Tokenizer, "models", "tokenizer_config.json"))
		if err == nil {
			err = json.Unmarshal(data, &config)
		}
		return config.Template, err
	}
	data, err := templates.ReadFile("templates/" + m.speaks() + ".jinja")
	if err != nil {
		return "", fmt.Errorf("no chat template %q: %w", m.Template, err)
	}
	return strings.TrimRight(string(data), "\n"), nil
}

func (m Model) calls() []Call {
	if m.Calls == nil {
		return UsualCalls()
	}
	return m.Calls
}

func (m Model) speaks() string {
	switch {
	case m.Template != "":
		return m.Template
	case m.Strict:
		return "strict"
	case m.Plain:
		return "gemma"
	case m.Tokenizer != "":
		return "qwen3"
	}
	return "hermes"
}

// Marks are the control tokens of a chat template.
func Marks(template string) []string { return speeches[template].marks }
