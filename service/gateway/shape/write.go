package shape

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// paper is what a conversation is written on.
type paper struct {
	document.Rope
	next string // what comes before the next item of the open list
}

// item begins an item of the open list.
func (p *paper) item() {
	p.Text(p.next)
	p.next = ","
}

// message begins a message.
func (p *paper) message(role string) {
	p.item()
	p.Text(`{"role":"`)
	p.Text(role)
	p.Text(`","content":[`)
	p.next = ""
}

// end ends a message.
func (p *paper) end() {
	p.Text("]}")
	p.next = ","
}

// said writes a message of words. Texts alone are one string: some templates (Mistral's) read
// a list from the user only.
func (p *paper) said(role string, says []word) {
	if slices.ContainsFunc(says, word.seen) {
		p.message(role)
		p.content(says)
		p.end()
		return
	}
	p.item()
	p.Text(`{"role":"`)
	p.Text(role)
	p.Text(`","content":`)
	p.text(says)
	p.Text("}")
}

// written writes the turns. A conversation that has messages is not empty.
func (c *conversation) written(some bool) document.Rope {
	p := &paper{}
	p.Text("[")
	if len(c.first) > 0 {
		p.said("system", c.first)
	}
	if len(c.turns) == 0 && some {
		c.turn(false)
	}
	for i := range c.turns {
		t := &c.turns[i]
		last := i == len(c.turns)-1
		switch {
		case t.assistant && len(t.says)+len(t.calls) == 0 && last:
			// It is to begin anew: the model would go on from a word put there.
		case t.assistant && last:
			c.exchange(p, t, nil)
		case t.assistant:
			c.exchange(p, t, c.turns[i+1].says)
		case i == 0 || len(c.turns[i-1].calls) == 0: // else it was written with the calls
			p.said("user", orElse(t.says, "(no text)"))
		}
	}
	p.Text("]")
	return p.Rope
}

// exchange writes an assistant's turn, and when it calls tools their results too. What
// else is said after them goes into the last result: a message of the user's there breaks
// the order of strict templates, and llama.cpp would put it before the results.
func (c *conversation) exchange(p *paper, t *turn, after []word) {
	if c.needs.Mindless {
		t.thoughts = nil
	}
	if len(t.calls)+len(t.thoughts) == 0 {
		p.said("assistant", orElse(t.says, "(nothing said)"))
		return
	}
	p.message("assistant")
	for _, thought := range t.thoughts {
		p.item()
		p.Text(`{"type":"thinking","thinking":`)
		p.Raw(thought)
		p.Text("}")
	}
	if len(t.calls) == 0 {
		p.content(orElse(t.says, "(nothing said)"))
		p.end()
		return
	}
	p.content(t.says)
	last := &t.calls[len(t.calls)-1]
	last.answer, last.answered = followed(last.result(), after), true
	together := len(t.calls)
	if c.needs.OneCall {
		together = 1
	}
	for i := 0; i < len(t.calls); i += together {
		if i > 0 {
			p.message("assistant")
		}
		some := t.calls[i : i+together]
		for _, one := range some {
			p.call(one, c.id(one))
		}
		p.end()
		p.message("user")
		for _, one := range some {
			p.result(one, c.id(one))
		}
		p.end()
	}
}

// id is a call's id as the template takes it.
func (c *conversation) id(one call) []byte {
	if c.needs.ShortIDs {
		return document.Quote(nine(one.id))
	}
	return document.Quote(one.id)
}

// nine is an id of nine letters and digits, always the same for the same one: the id
// itself where it is one already.
func nine(id string) string {
	const signs = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if len(id) == 9 && strings.Trim(id, signs) == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	out := make([]byte, 9)
	for i := range out {
		out[i] = signs[int(sum[i])%len(signs)]
	}
	return string(out)
}

// result is what the tool answered.
func (one *call) result() []word {
	if one.answered {
		return one.answer
	}
	return plainly("(no result)")
}

// followed is a result with what the user and the system said after it.
func followed(answer, after []word) []word {
	all := slices.Clone(answer)
	marked := false
	for _, w := range after {
		own := !w.reminder && !bytes.HasPrefix(w.text, []byte("<system-reminder>"))
		if own && !marked {
			all = append(all, plainly("[the user:]")...)
		}
		marked = own
		all = append(all, w)
	}
	return all
}

// orElse are the words, or others in place of none.
func orElse(says []word, other string) []word {
	if len(says) == 0 {
		return plainly(other)
	}
	return says
}

func (p *paper) call(one call, id []byte) {
	p.item()
	p.Text(`{"type":"tool_use","id":`)
	p.Raw(id)
	p.Text(`,"name":`)
	p.Raw(document.Quote(one.name))
	p.Text(`,"input":`)
	p.Raw(one.input)
	p.Text("}")
}

// result writes what a tool answered: a text, or a list when it holds images.
func (p *paper) result(one call, id []byte) {
	p.item()
	p.Text(`{"type":"tool_result","tool_use_id":`)
	p.Raw(id)
	p.Text(`,"content":`)
	answer := one.result()
	if slices.ContainsFunc(answer, word.seen) {
		p.Text("[")
		p.next = ""
		p.content(answer)
		p.Text("]")
		p.next = ","
	} else {
		p.text(answer)
	}
	p.Text("}")
}

// content writes texts and images. Texts that follow each other become one, on lines of
// their own, as llama.cpp joins those of a message. Those of a result it joins with nothing
// between, as some templates do everywhere.
func (p *paper) content(says []word) {
	for len(says) > 0 {
		p.item()
		n := slices.IndexFunc(says, word.seen)
		if n == 0 {
			p.Text(`{"type":"image","source":{"type":"base64","media_type":`)
			p.Raw(says[0].media)
			p.Text(`,"data":`)
			p.Raw(says[0].text)
			p.Text("}}")
			says = says[1:]
			continue
		}
		if n < 0 {
			n = len(says)
		}
		p.Text(`{"type":"text","text":`)
		p.text(says[:n])
		p.Text("}")
		says = says[n:]
	}
}

// text writes words that hold no image as a JSON string.
func (p *paper) text(says []word) {
	p.Text(`"`)
	for i, w := range says {
		if i > 0 {
			p.Text(`\n`)
		}
		if w.reminder {
			p.Text(`<system-reminder>\n`)
		}
		p.Raw(w.text)
		if w.reminder {
			p.Text(`\n</system-reminder>`)
		}
	}
	p.Text(`"`)
}
