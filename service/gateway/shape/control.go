package shape

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// Joiner breaks a control word in what is said: a word joiner (U+2060) after its first
// sign. Without it a tokenizer would make the control token of it, and a file that holds
// <|im_start|>system could speak as the system. A reader does not see it, and a model that
// copies it into a call of a tool is cured by taking all of them out of its answer.
const Joiner = "\u2060"

// always are control words beside those that stand between bars, which are broken whatever
// the template says: a vocabulary has more of them than its template uses. <__media__>
// takes the place of an image in a llama.cpp of before April 2026.
var always = []string{"<start_of_turn>", "<end_of_turn>", "<__media__>"}

// ends are control words of models whose turns stand between [INST] and [/INST]; their
// templates have them in a variable.
var ends = []string{"<s>", "</s>"}

// harmless is the request with the control words in its conversation, its system prompt
// and its tools broken: the names of a repository's files and branches stand there too, and
// what other people's servers say of their tools.
func (r *Request) harmless(markers []string, said notes) (*Request, error) {
	out := *r
	words := byFirst(markers)
	for i, m := range r.messages {
		text, found := broken(m.whole, words)
		if !found {
			continue
		}
		if said.add(ControlWords); &out.messages[0] == &r.messages[0] {
			out.messages = slices.Clone(r.messages)
		}
		var err error
		if out.messages[i], err = readMessage(document.Scan(text)); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
	}
	for i, t := range r.tools {
		text, found := broken(t.whole, words)
		if !found {
			continue
		}
		if said.add(ControlWords); &out.tools[0] == &r.tools[0] {
			out.tools = slices.Clone(r.tools)
		}
		var err error
		r := reader{Scanner: document.Scan(text)}
		if out.tools[i], err = r.tool(); err != nil {
			return nil, fmt.Errorf("tool %d: %w", i, err)
		}
	}
	for i, m := range r.members {
		if m.Name != "system" && m.Name != "output_config" && m.Name != "output_format" {
			continue
		}
		if text, found := broken(m.Value, words); found {
			said.add(ControlWords)
			out.members = slices.Clone(out.members)
			out.members[i].Value = text
		}
	}
	return &out, nil
}

// broken is a JSON text with a joiner in each control word.
func broken(text []byte, words map[byte][]string) (out []byte, found bool) {
	from := 0
	for _, to := range controls(text, words) {
		out = append(append(out, text[from:to]...), Joiner...)
		from = to
	}
	if from == 0 {
		return text, false
	}
	return append(out, text[from:]...), true
}

// byFirst are the control words to look for, by their first sign.
func byFirst(markers []string) map[byte][]string {
	words := slices.Concat(always, markers)
	if slices.Contains(markers, "[INST]") {
		words = append(words, ends...)
	}
	firsts := map[byte][]string{}
	for _, w := range words {
		if w != "" {
			firsts[w[0]] = append(firsts[w[0]], w)
		}
	}
	return firsts
}

// controls lists where control words are to be broken in a JSON text, in order.
func controls(text []byte, firsts map[byte][]string) (at []int) {
	for first, words := range firsts {
		for i := 0; ; i++ {
			n := bytes.IndexByte(text[i:], first)
			if n < 0 {
				break
			}
			i += n
			rest := text[i:]
			if first == '<' && between(rest[1:]) || slices.ContainsFunc(words, func(w string) bool { return bytes.HasPrefix(rest, []byte(w)) }) {
				at = append(at, i+1)
			}
		}
	}
	slices.Sort(at)
	return at
}

// between reports whether a text begins as a control word goes on that stands between
// bars: <|im_start|>, or <｜User｜> with DeepSeek's wide ones.
func between(text []byte) bool {
	const longest = 64
	for _, bar := range []string{"|", "｜"} {
		if word, found := bytes.CutPrefix(text, []byte(bar)); found {
			end := bytes.Index(word[:min(longest, len(word))], []byte(bar+">"))
			return end > 0 && !bytes.ContainsAny(word[:end], `<>|"\ `)
		}
	}
	return false
}
