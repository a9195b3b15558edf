package shape

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// FormatAsked says that the form of the answer was asked for in words: engines do not
// enforce it on the route that Claude Code uses.
const FormatAsked Note = "format_asked"

// meant is the request with its parameters as engines understand them: tools, thinking,
// effort and the answer's format. They are no part of the conversation.
func (r *Request) meant(needs Needs, said notes) (*Request, error) {
	m := *r
	m.members = slices.Clone(r.members)
	all, err := r.offers(needs, said)
	if err != nil {
		return nil, fmt.Errorf("tools: %w", err)
	}
	offer, choice, err := all.chosen(document.Find(r.members, "tool_choice"))
	if err != nil {
		return nil, fmt.Errorf("tool_choice: %w", err)
	}
	if needs.NoTools {
		offer.tools, choice = nil, nil
	}
	m.offer = offer.list()
	m.set("tool_choice", choice)
	m.limit()
	m.set("chat_template_kwargs", m.arguments(needs))
	asks := []string{offer.absent()}
	if form := m.format(); form != nil {
		said.add(FormatAsked)
		asks = append(asks, "Your final answer must be one JSON value that fits this schema, without a code fence and without any other words:\n"+string(form))
	}
	return &m, m.ask(asks)
}

// set gives a member a value, or takes it away.
func (r *Request) set(name string, value jsontext.Value) {
	if value == nil {
		r.members = slices.DeleteFunc(r.members, func(m document.Member) bool { return m.Name == name })
		return
	}
	found := false
	for i := range r.members {
		if r.members[i].Name == name {
			r.members[i].Value, found = value, true
		}
	}
	if !found {
		r.members = append(r.members, document.Member{Name: name, Value: value})
	}
}

// limit keeps the number of tokens within what engines count with, 31 bits. Everything
// above is "as many as there is room for".
func (r *Request) limit() {
	const most = 1<<31 - 1
	if n, err := strconv.ParseFloat(string(document.Find(r.members, "max_tokens")), 64); err == nil && n > most {
		r.set("max_tokens", jsontext.Value(strconv.Itoa(most)))
	}
	thinking := document.Find(r.members, "thinking")
	if thinking.Kind() != '{' {
		return
	}
	members, err := document.Members(thinking)
	if err != nil {
		return
	}
	if n, err := strconv.ParseFloat(string(document.Find(members, "budget_tokens")), 64); err == nil && n > most {
		replaced := document.Object(append(without(members, "budget_tokens"), document.Member{Name: "budget_tokens", Value: jsontext.Value(strconv.Itoa(most))}), "")
		r.set("thinking", replaced.Bytes())
	}
}

// without are members but for one.
func without(members []document.Member, name string) []document.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m document.Member) bool { return m.Name == name })
}

// efforts are Claude's, as templates know them.
var efforts = map[string]string{"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}

// arguments are what the chat template gets beside the conversation: whether to think, and
// how hard. What the client sets there itself stays; nil is nothing.
func (r *Request) arguments(needs Needs) jsontext.Value {
	given := document.Find(r.members, "chat_template_kwargs")
	arguments, err := document.Members(given)
	if err != nil && given != nil && given.Kind() != 'n' {
		return given
	}
	before := len(arguments)
	add := func(name, value string) {
		if document.Find(arguments, name) == nil {
			arguments = append(arguments, document.Member{Name: name, Value: jsontext.Value(value)})
		}
	}
	thinking, _ := document.Members(document.Find(r.members, "thinking"))
	config, _ := document.Members(document.Find(r.members, "output_config"))
	effort := efforts[document.Field(config, "effort")]
	if document.Field(thinking, "type") == "disabled" {
		effort = "low"
		add("enable_thinking", "false")
		if needs.Thinking {
			add("thinking", "false")
		}
	}
	if needs.Efforts && effort != "" {
		add("reasoning_effort", strconv.Quote(effort))
	}
	if len(arguments) == before {
		return given
	}
	written := document.Object(arguments, "")
	return written.Bytes()
}

// format takes the schema that the answer has to fit out of the request; nil when there
// is none. output_format is what output_config.format was called at first.
func (r *Request) format() (schema jsontext.Value) {
	config, _ := document.Members(document.Find(r.members, "output_config"))
	for _, form := range []jsontext.Value{document.Find(r.members, "output_format"), document.Find(config, "format")} {
		if m, err := document.Members(form); err == nil && document.Field(m, "type") == "json_schema" {
			schema = document.Find(m, "schema")
		}
	}
	r.set("output_format", nil)
	if document.Find(config, "format") != nil {
		rest := document.Object(config, "format")
		r.set("output_config", rest.Bytes())
	}
	return schema
}

// ask adds sentences to the system prompt's end. There they cost the engine its memory of
// the conversation once, and not with every turn as at the conversation's end.
func (r *Request) ask(sentences []string) error {
	sentences = slices.DeleteFunc(sentences, func(s string) bool { return s == "" })
	if len(sentences) == 0 {
		return nil
	}
	prompt, err := withoutBilling(document.Find(r.members, "system"))
	if err != nil {
		return fmt.Errorf("system: %w", err)
	}
	said := document.Text(prompt.Bytes())
	if said != "" {
		sentences = slices.Insert(sentences, 0, said)
	}
	r.set("system", document.Quote(strings.Join(sentences, "\n\n")))
	return nil
}
