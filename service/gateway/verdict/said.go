package verdict

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// text is what an error says.
type text struct {
	whole         string // without wrappers, and without what may be words of the conversation
	tokens, limit int
}

// read takes the text out of an error's body: Anthropic's shape, llama.cpp's (which within a
// stream has no member "error"), Model Runner's, or plain text.
func read(body []byte) text {
	type said struct {
		Message string
		Tokens  int `json:"n_prompt_tokens"`
		Limit   int `json:"n_ctx"`
	}
	var shaped struct {
		said
		Error  json.RawMessage
		Detail string // vLLM's
	}
	found := said{Message: string(body)}
	if json.Unmarshal(body, &shaped) == nil {
		var inner said
		var plain string
		switch {
		case json.Unmarshal(shaped.Error, &inner) == nil && inner.Message != "":
			found = inner
		case json.Unmarshal(shaped.Error, &plain) == nil && plain != "":
			found.Message = plain
		case shaped.Message != "":
			found = shaped.said
		case shaped.Detail != "":
			found.Message = shaped.Detail
		}
	}
	return text{unwrapped(found.Message), found.Tokens, found.Limit}
}

// wrappers are what callers of a function put before its error.
var wrappers = []string{
	"Unable to generate parser for this template. Automatic parser generation failed: ",
	"Failed to apply template: ", "Failed to format input: ", "decode() failed: ", "got exception: ", "Error: ", "error: ",
}

// private begins what repeats the conversation, the model's answer or a tool's schema:
// llama.cpp adds the whole of it to some errors.
const private = `; (?:messages|tools) = |; last read: |(?:Unrecognized schema|Invalid diff|unparsed peg-native output|at pos \d+|up to error): `

// unwrapped is a text from where it says something, to where the conversation begins.
func unwrapped(said string) string {
	if at := regexp.MustCompile(private).FindStringIndex(said); at != nil && !started(said) {
		kept := strings.TrimRight(said[at[0]:at[1]], ": ")
		if kept[0] == ';' {
			kept = ""
		}
		said = said[:at[0]] + kept
	}
	for again := true; again; {
		again = false
		said = strings.TrimSpace(said)
		for _, w := range wrappers {
			if rest, ok := strings.CutPrefix(said, w); ok {
				said, again = rest, true
			}
		}
	}
	return said
}

// started reports whether a text is Model Runner's about an engine's process.
func started(said string) bool { return regexp.MustCompile(`(?i)` + loads).MatchString(said) }

// raised introduces what a template says itself: the reason, at the end of a long text.
const raised = "Jinja Exception: "

// reason is the part of a text that names the reason.
func (t text) reason() string {
	said := t.whole
	if started(said) {
		said, _, _ = strings.Cut(said, "\n") // the engine's log follows
	} else {
		for _, before := range []string{"\nError: ", raised} {
			if i := strings.LastIndex(said, before); i >= 0 {
				said = said[i+len(before):]
			}
		}
		said, _, _ = strings.Cut(said, " at row ") // minja adds the template's lines
	}
	said = strings.Join(strings.Fields(said), " ")
	const enough = 300
	if runes := []rune(said); len(runes) > enough {
		said = string(runes[:enough]) + "…"
	}
	return said
}

// numbers are the tokens of the prompt and of the context that a text names.
func (t text) numbers() (tokens, limit int) {
	found := regexp.MustCompile(`\((\d+) tokens\)|is (\d+) tokens|requested (\d+) tokens|length (?:of )?(\d+)`).FindAllStringSubmatch(t.whole, -1)
	var all []int
	for _, groups := range found {
		n, _ := strconv.Atoi(strings.Join(groups[1:], ""))
		all = append(all, n)
	}
	if len(all) < 2 {
		return 0, 0
	}
	return max(all[0], all[1]), min(all[0], all[1])
}
