package shape

import (
	"regexp"
	"slices"
	"strings"
)

// What templates do, told from the code in them, as the published ones of the models
// named do it.
var (
	shortIDs  = regexp.MustCompile(`id["'\])\s]*\|\s*(?:length|count)[)\s]*[!=]=\s*9\b`)                                                                       // Mistral Nemo
	oneCall   = regexp.MustCompile(`not\s+[\w."'\[\]]*tool_calls["'\]]*\s*\|\s*length\s*==\s*1\b|tool_calls["'\]]*\s*\|\s*length\s*(?:!=\s*1|>\s*1|>=\s*2)\b`) // Llama 3
	firstCall = regexp.MustCompile(`tool_calls["'\]]*\s*(?:\[\s*0\s*\]|\|\s*first\b)`)                                                                         // gpt-oss
	allCalls  = regexp.MustCompile(`\bin\s+[\w.\["' (]*tool_calls|tool_calls["'\]]*\s*\|\s*(?:tojson|map|list)\b`)
	anyTools  = regexp.MustCompile(`\btool(?:s|_calls?|_results?)\b|["']tool["']`)
	thinkVar  = regexp.MustCompile(`(?:^|[^\w.'"])thinking(?:[^\w'"=]|==|$)`) // the variable, no message's member
	late      = regexp.MustCompile(`\bloop\.last\s+and\s+system\w*`)          // Mistral Nemo: the system prompt stands in the last message, if that is a user's
	thoughts  = regexp.MustCompile(`reasoning|think|thought`)
	plainName = regexp.MustCompile(`^\w+$`)
)

// marker is a word that a tokenizer may take for a control token. A tag that stands in
// many a file, as <s> and <name>, is none: to break it there would hurt more.
var marker = regexp.MustCompile(`<\|[^\s<>|]{1,60}\|?>|<[^\s<>|]{1,60}\|>|<｜[^\s<>｜]{1,60}｜>|\[\|[^\s\[\]|]{1,60}\|\]|` +
	`</?[a-zA-Z]+[_:][a-zA-Z_:0-9]+>|<</?[A-Z]+>>|\[/?[A-Z][A-Z_]{2,}\]|\[gMASK\]|<sop>|<bos>|<eos>`)

// brackets hold a role that the template puts between them.
var brackets = [][2]string{{"<|", "|>"}, {"[|", "|]"}, {"<｜", "｜>"}}

// Read learns from a model's chat template what it wants of a request. An empty template
// is an unknown one: it has no needs.
func Read(template string) Needs {
	if strings.TrimSpace(template) == "" {
		return Needs{}
	}
	t := lexed(template)
	code, words := strings.Join(t.code, "\n"), strings.Join(t.words, "\n")
	has := func(what *regexp.Regexp) bool { return what.MatchString(code) }
	return Needs{
		ShortIDs: has(shortIDs) || strings.Contains(words, "IDs should be alphanumeric strings with length 9"),
		OneCall:  has(oneCall) || strings.Contains(words, "only supports single tool-calls") || has(firstCall) && !has(allCalls),
		NoTools:  !has(anyTools),
		NoSystem: has(late),
		Mindless: !has(thoughts),
		Thinks:   strings.Contains(code, "enable_thinking"),
		Thinking: has(thinkVar),
		Efforts:  strings.Contains(code, "reasoning_effort"),
		Markers:  markers(t.words),
	}
}

// source is a template taken apart.
type source struct {
	code  []string // expressions and statements; of the texts in them only names are left
	words []string // all texts, those in code and around it
}

// lexed takes a template of Jinja apart; comments are lost.
func lexed(template string) (t source) {
	for template != "" {
		at := strings.IndexByte(template, '{')
		if at < 0 || at+1 == len(template) {
			t.words = append(t.words, template)
			return t
		}
		t.words = append(t.words, template[:at])
		kind := template[at+1]
		template = template[at:]
		switch kind {
		case '#':
			_, template, _ = strings.Cut(template, "#}")
		case '{', '%':
			end := t.expression(template[2:], map[byte]string{'{': "}}", '%': "%}"}[kind])
			template = template[2+end:]
		default:
			t.words = append(t.words, "{")
			template = template[1:]
		}
	}
	return t
}

// expression reads up to its closing brackets, which do not count within a text, and
// returns where it ends.
func (t *source) expression(rest, closing string) int {
	var code strings.Builder
	defer func() { t.code = append(t.code, code.String()) }()
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if strings.HasPrefix(rest[i:], closing) {
			return i + len(closing)
		}
		code.WriteByte(c)
		if c != '"' && c != '\'' {
			continue
		}
		start := i + 1
		for i++; i < len(rest) && rest[i] != c; i++ {
			if rest[i] == '\\' {
				i++
			}
		}
		text := rest[start:min(i, len(rest))]
		t.words = append(t.words, text)
		if plainName.MatchString(text) {
			code.WriteString(text)
		}
		code.WriteByte(c)
	}
	return len(rest)
}

// markers lists the control words in a template's texts, sorted.
func markers(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, marker.FindAllString(text, -1)...)
		for _, b := range brackets {
			if strings.HasSuffix(text, b[0]) {
				for _, role := range []string{"system", "user", "assistant", "tool"} {
					all = append(all, b[0]+role+b[1])
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
