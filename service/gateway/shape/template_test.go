package shape

import (
	"reflect"
	"strings"
	"testing"
)

// The templates are short ones of our own with the habits of published ones.
const (
	chatML = `{%- if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>{% endif %}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}
{%- for c in m.tool_calls or [] %}<tool_call>{{ c | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}`
	short = `{{ bos_token }}{%- for message in messages %}{%- if message.tool_calls is defined %}{{ "[TOOL_CALLS][" }}
{%- for tool_call in message.tool_calls %}
{%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{%- endif %}
{%- endfor %}{%- else %}{{ "[INST]" + message["content"] + "[/INST]" }}{%- endif %}{%- endfor %}`
	single = `{%- for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>' }}
{%- if 'tool_calls' in message %}{%- if not message.tool_calls|length == 1 %}
{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
{%- set tool_call = message.tool_calls[0].function %}{{ tool_call.name }}{%- endif %}{%- endfor %}`
	first = `{{ "<|start|>system<|message|>Reasoning: " + reasoning_effort }}{%- for message in messages %}
{%- if "tool_calls" in message %}{%- set tool_call = message.tool_calls[0] %}{{ tool_call.name }}
{%- if message.content and message.thinking %}{{ raise_exception("put it in the 'thinking' field of all tools") }}{% endif %}{%- endif %}{%- endfor %}`
	plain = `{{ bos_token }}{#- <|secret|> tools are not known here #}{%- for message in messages -%}
{{ '<start_of_turn>' + message['role'] + '\n' + (message['content'] | trim) }}{{ '<end_of_turn>\n' }}
{{- raise_exception("no tools") if false }}{%- endfor -%}`
)

func TestATemplateSaysWhatItNeeds(t *testing.T) {
	tests := map[string]struct {
		template string
		want     Needs
	}{
		"unknown":                        {"", Needs{}},
		"only space":                     {" \n", Needs{}},
		"chatml":                         {chatML, Needs{Markers: []string{"</tool_call>", "<tool_call>", "<|im_end|>", "<|im_start|>"}}},
		"short ids":                      {short, Needs{ShortIDs: true, Markers: []string{"[/INST]", "[INST]", "[TOOL_CALLS]"}}},
		"short ids, no error":            {`{% for c in m.tool_calls %}{% if (c['id'] | length) != 9 %}{{ raise_exception("no") }}{% endif %}{% endfor %}`, Needs{ShortIDs: true}},
		"short ids, by words":            {`{% for c in m.tool_calls %}{{ check(c, 'Tool call IDs should be alphanumeric strings with length 9!') }}{% endfor %}`, Needs{ShortIDs: true}},
		"nine messages":                  {`{% if tools and messages|length != 9 %}{% endif %}`, Needs{}},
		"one call":                       {single, Needs{OneCall: true, Markers: []string{"<|end_header_id|>", "<|start_header_id|>"}}},
		"one call, counted":              {`{% if message['tool_calls']|length != 1 %}{{ raise_exception('one') }}{% endif %}{% for c in message['tool_calls'] %}{% endfor %}`, Needs{OneCall: true}},
		"one call, by words":             {`{% for c in tool_calls %}{{ raise_exception("This model only supports single tool-calls at once!") }}{% endfor %}`, Needs{OneCall: true}},
		"the first call alone":           {first, Needs{OneCall: true, Efforts: true, Markers: []string{"<|message|>", "<|start|>"}}},
		"the first call before the rest": {`{{ message.tool_calls[0].name }}{% for c in message.tool_calls[1:] %}{{ c }}{% endfor %}`, Needs{}},
		"calls counted, none refused":    {`{% if message.tool_calls|length > 0 %}{% for c in message.tool_calls %}{% endfor %}{% endif %}`, Needs{}},
		"no tools":                       {plain, Needs{NoTools: true, Markers: []string{"<end_of_turn>", "<start_of_turn>"}}},
		"results, no calls":              {`{% if message['role'] == 'tool' %}x{% endif %}`, Needs{}},
		"one may think":                  {`{{ tools }}{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}`, Needs{Thinks: true}},
		"a variable thinking":            {`{{ tools }}{%- if not thinking is defined %}{% set thinking = false %}{% endif %}{{ '<think>' if thinking else '</think>' }}`, Needs{Thinking: true}},
		"a member thinking":              {`{{ tools }}{{ message.thinking }}{{ message['thinking'] }}{{ m.get("thinking") }}`, Needs{}},
		"a role between bars":            {`{{ tools }}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}`, Needs{Markers: []string{"<|assistant|>", "<|end|>", "<|system|>", "<|tool|>", "<|user|>"}}},
		"half a bar":                     {`{{ tools }}<|turn>user{{ m }}<turn|><<SYS>>[gMASK]<sop>[|endofturn|]<｜User｜>`, Needs{Markers: []string{"<<SYS>>", "<sop>", "<turn|>", "<|turn>", "<｜User｜>", "[gMASK]", "[|endofturn|]"}}},
		"plain tags stay":                {`{{ tools }}<tools><name></name><s></s><think><function=example>a[0] [i] {x} <!-- b`, Needs{}},
		"brackets in a text":             {`{{ tools }}{{ "}}<|in|>%}" }}{% set x = '{{"\'<|too|>' %}`, Needs{Markers: []string{"<|in|>", "<|too|>"}}},
		"unfinished":                     {`{{ tools }}{% if "<|open|>`, Needs{Markers: []string{"<|open|>"}}},
		"a comment unfinished":           {`{{ tools }}{# <|open|>`, Needs{}},
		"a bracket alone":                {`tools{`, Needs{NoTools: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Read(tt.template)
			got.Mindless = false // see TestThoughts
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// Published templates differ in quotes and white space between models and over time.
func TestATemplateIsReadHoweverItIsWritten(t *testing.T) {
	quotes := strings.NewReplacer(`"`, `'`, `'`, `"`)
	ways := map[string]func(string) string{
		"the other quotes": quotes.Replace,
		"no dashes":        strings.NewReplacer("{%-", "{%", "{{-", "{{", "-%}", "%}").Replace,
		"wide":             strings.NewReplacer("|length", " | length", "%}", " %}", "}}", " }}").Replace,
		"other lines":      func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"commented":        func(s string) string { return "{# tools, tool_calls[0], '<|no|>' #}" + s },
		"subscripts":       strings.NewReplacer("message.tool_calls", "message['tool_calls']", "tool_call.id", "tool_call['id']").Replace,
	}
	for name, template := range map[string]string{"chatml": chatML, "short": short, "single": single, "first": first, "plain": plain} {
		for way, mutate := range ways {
			if got, want := Read(mutate(template)), Read(template); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: got  %+v\nwant %+v", name, way, got, want)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, template := range []string{chatML, short, single, first, plain, `{{ "\`, `{`, `{%`, `{#`} {
		f.Add(template)
	}
	f.Fuzz(func(t *testing.T, template string) {
		for _, m := range Read(template).Markers {
			if strings.ContainsAny(m, " \t\n") || len(m) < 3 {
				t.Errorf("%q is no control word", m)
			}
		}
	})
}

// Thoughts of earlier answers go only to a template that may show them, and a system prompt
// that would get lost goes to the user's first message.
func TestThoughts(t *testing.T) {
	for template, want := range map[string]Needs{
		"":            {},
		`{{ tools }}`: {Mindless: true},
		`{{ tools }}{{ message.reasoning_content }}`:                                                 {},
		`{{ tools }}{{ message['thinking'] }}`:                                                       {},
		`{{ tools }}{% if loop.last and system_message is defined %}{{ system_message }}{% endif %}`: {Mindless: true, NoSystem: true},
		`{{ tools }}{% if loop.last %}{% if system %}{{ system }}{% endif %}{% endif %}`:             {Mindless: true},
	} {
		if got := Read(template); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", template, got, want)
		}
	}
	talk := talk(says("user", "a"), blocks("assistant", `{"type":"thinking","thinking":"t","signature":"s"}`, texts("b")), says("user", "c"))
	if got, _ := folded(t, talk, Needs{Mindless: true}); strings.Contains(got, "thinking") || !strings.Contains(got, says("assistant", "b")) {
		t.Error(got)
	}
}
