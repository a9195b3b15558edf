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
	first := message{role: "system", members: []document.Member{{Name: "content", Value: prompt.Bytes()}}}
	moved := *r
	moved.members = slices.DeleteFunc(slices.Clone(r.members), func(m document.Member) bool { return m.Name == "system" })
	moved.messages = append([]message{first}, r.messages...)
	return &moved
}
