package shape

import (
	"slices"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// withoutSystem is the request with its system prompt as the conversation's first message,
// which the next user message takes in as it does every system message: for templates that
// know no system at all (Gemma 2, the first Mistral).
func (r *Request) withoutSystem() *Request {
	prompt, err := withoutBilling(document.Find(r.members, "system"))
	if err != nil || prompt.Size() == 0 {
		return r
	}
	content := document.Member{Name: "content", Value: prompt.Bytes()}
	first := message{role: "system", members: []document.Member{content}}
	if blocks, err := document.Elements(content.Value); err == nil {
		first.listed, first.members[0].Value = true, nil
		for _, b := range blocks {
			m, err := document.Members(b)
			if err != nil {
				return r
			}
			first.blocks = append(first.blocks, part{b, m})
		}
	}
	moved := *r
	moved.members = slices.DeleteFunc(slices.Clone(r.members), func(m document.Member) bool { return m.Name == "system" })
	moved.messages = append([]message{first}, r.messages...)
	return &moved
}
