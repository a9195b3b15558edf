package gguf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// words is a vocabulary, and what follows what in it.
type words struct {
	tokens []string
	kinds  []int32
	ids    map[string]int
	free   []int       // tokens of a real vocabulary that stand for nothing
	space  string      // how it spells a space
	steps  map[int]int // the dimension of a token that decides the next one
	next   map[int]int // by dimension
}

// add is the token of a text, a new one where there is none.
func (v *words) add(token string, kind int32) int {
	if id, ok := v.ids[token]; ok {
		return id
	}
	id := len(v.tokens)
	if len(v.free) > 0 {
		id, v.free = v.free[0], v.free[1:]
		v.tokens[id], v.kinds[id] = token, kind
	} else {
		v.tokens, v.kinds = append(v.tokens, token), append(v.kinds, kind)
	}
	v.ids[token] = id
	return id
}

// say adds a token for each piece that is said after any of some tokens, until the
// end, and returns the first one.
func (v *words) say(after []int, pieces []string, end int) (first int) {
	for i, piece := range pieces {
		id := v.add(strings.ReplaceAll(piece, " ", v.space), v.ownKind())
		v.follow(after, id)
		if after = []int{id}; i == 0 {
			first = id
		}
	}
	v.follow(after, end)
	return first
}

func (v *words) follow(after []int, id int) {
	d := len(v.next) + 1
	for _, token := range after {
		v.steps[token] = d
	}
	v.next[d] = id
}

// ownKind is that of a piece of what is said: in GPT-2's spelling a normal token's text would be read as bytes.
func (v *words) ownKind() int32 {
	if v.space == " " {
		return tokenOwn
	}
	return tokenNormal
}

// byteWords is a vocabulary in SentencePiece's spelling that falls back to bytes.
func byteWords() *words {
	v := newWords("\u2581")
	v.add("<unk>", tokenUnknown)
	v.add("<s>", tokenControl)
	v.add("</s>", tokenControl)
	for b := range 256 {
		v.add(fmt.Sprintf("<0x%02X>", b), tokenByte)
	}
	v.add(v.space, tokenNormal)
	return v
}

func newWords(space string) *words {
	return &words{ids: map[string]int{}, space: space, steps: map[int]int{}, next: map[int]int{}}
}

// qwen3 is Qwen3's vocabulary, with its merges, and room for tokens of the lab's.
func qwen3(folder string) (v *words, merges []string, err error) {
	data, err := os.ReadFile(filepath.Join(folder, "models", "tokenizer.json"))
	if err != nil {
		return nil, nil, err
	}
	var tokenizer struct {
		Model struct {
			Vocab  map[string]int    `json:"vocab"`
			Merges []json.RawMessage `json:"merges"`
		} `json:"model"`
		Added []struct {
			ID      int    `json:"id"`
			Content string `json:"content"`
			Special bool   `json:"special"`
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(data, &tokenizer); err != nil {
		return nil, nil, err
	}
	for _, m := range tokenizer.Model.Merges { // "a b" or ["a","b"]
		var pair []string
		var line string
		if json.Unmarshal(m, &line) != nil {
			if err := json.Unmarshal(m, &pair); err != nil {
				return nil, nil, err
			}
			line = strings.Join(pair, " ")
		}
		merges = append(merges, line)
	}
	const most = 152_064 // as many as Qwen3's own models have
	v = newWords(" ")
	v.ids = tokenizer.Model.Vocab
	v.tokens, v.kinds = make([]string, most), slices.Repeat([]int32{tokenUnused}, most)
	for token, id := range v.ids {
		v.tokens[id], v.kinds[id] = token, tokenNormal
	}
	for _, a := range tokenizer.Added {
		v.ids[a.Content], v.tokens[a.ID], v.kinds[a.ID] = a.ID, a.Content, tokenOwn
		if a.Special {
			v.kinds[a.ID] = tokenControl
		}
	}
	for id, token := range v.tokens {
		if token == "" {
			v.tokens[id] = fmt.Sprintf("[PAD%d]", id)
			v.free = append(v.free, id)
		}
	}
	return v, merges, nil
}

// last is the last token of a text that ends a prompt; false where the vocabulary has none that is it.
func (v *words) last(end string) (id int, ok bool) {
	if id, ok = v.ids[end]; ok {
		return id, ok
	}
	if v.space != " " {
		return v.ids[fmt.Sprintf("<0x%02X>", end[len(end)-1])], true
	}
	id, ok = v.ids[strings.ReplaceAll(end, "\n", "\u010a")] // as GPT-2's tokenizer spells it
	return id, ok
}

// speak teaches the vocabulary what the model says.
func (m Model) speak(v *words) (end int) {
	s := speeches[m.speaks()]
	for _, mark := range s.marks {
		end = v.add(mark, tokenControl)
	}
	said := strings.SplitAfter(Answer, " ")
	if v.space != " " { // SentencePiece's words begin with their space
		said = nil
		for word := range strings.FieldsSeq(Answer) {
			head, full := strings.CutSuffix(word, ".")
			if said = append(said, " "+head); full {
				said = append(said, ".")
			}
		}
	}
	if s.before != "" {
		said = slices.Insert(said, 0, s.before)
	}
	var ends []int
	for _, e := range s.ends {
		if id, ok := v.last(e); ok {
			ends = append(ends, id)
		}
	}
	first := v.say(ends, said, end)
	if s.thinks != "" {
		v.say([]int{v.add(s.thinks, tokenOwn)}, []string{"hm", "\n</think>\n\n"}, first)
	}
	callEnd := end
	if s.callEnd != "" {
		callEnd = v.ids[s.callEnd]
	}
	if s.call == nil {
		return end
	}
	for i, c := range m.calls() {
		mark := m.callMark(i, c.Tools)
		v.say([]int{v.add(mark, tokenOwn)}, []string{strings.TrimPrefix(s.call(c.Tools), mark)}, callEnd)
	}
	return end
}
