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

// harmless returns the messages with the control words in them broken.
func harmless(messages []message, markers []string, said notes) ([]message, error) {
	words := byFirst(markers)
	out := messages
	for i, m := range messages {
		at := controls(m.whole, words)
		if len(at) == 0 {
			continue
		}
		if said.add(ControlWords); &out[0] == &messages[0] {
			out = slices.Clone(messages)
		}
		var broken []byte
		from := 0
		for _, to := range at {
			broken = append(append(broken, m.whole[from:to]...), Joiner...)
			from = to
		}
		var err error
		if out[i], err = readMessage(document.Scan(append(broken, m.whole[from:]...))); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
	}
	return out, nil
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
