// Package shape writes a Messages request of Claude Code as a local model takes it.
package shape

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// Request is a Messages request as far as the gateway has to understand it. It
// is read in one pass; the rest stays bytes of the body.
type Request struct {
	members   []document.Member // without the values of messages and tools
	messages  []message
	tools     []tool
	offer     document.Rope // the tools as they are written
	Model     string
	Stream    bool
	HasTools  bool   // it offers tools: a session's turn, no title job
	SessionID string // from the body; a header may say it too
}

// message is one message of a conversation.
type message struct {
	whole   jsontext.Value
	members []document.Member // content without its value when it is a list
	role    string
	listed  bool // content is a list
	blocks  []part
}

// part is one element of a message's content.
type part struct {
	whole   jsontext.Value
	members []document.Member // nil for what is not an object
}

// Parse reads a request's body.
func Parse(body []byte) (*Request, error) {
	r := &Request{}
	s := document.Scan(document.Plain(body))
	list := false
	schemas := reader{Scanner: s}
	if _, err := s.Object(func(name string) error {
		if name == "messages" && s.Kind() == '[' {
			list, r.messages = true, make([]message, 0, 64) // of a name that comes twice the last counts
			r.members = append(r.members, document.Member{Name: name})
			return s.Array(func() error {
				m, err := readMessage(s)
				if err != nil {
					return fmt.Errorf("message %d: %w", len(r.messages), err)
				}
				r.messages = append(r.messages, m)
				return nil
			})
		}
		if name == "tools" && s.Kind() == '[' {
			r.tools = nil
			r.members = append(r.members, document.Member{Name: name})
			return s.Array(func() error {
				tool, err := schemas.tool()
				r.tools = append(r.tools, tool)
				return err
			})
		}
		value, err := s.Value()
		list = list && name != "messages"
		if name == "tools" {
			r.tools = nil
		}
		r.members = append(r.members, document.Member{Name: name, Value: value})
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	r.Model, r.Stream = document.Field(r.members, "model"), document.Find(r.members, "stream").Kind() == 't'
	switch {
	case r.Model == "":
		return nil, errors.New(`it names no "model"`)
	case !list:
		return nil, errors.New(`it has no list "messages"`)
	}
	r.HasTools = len(r.tools) > 0
	if metadata, err := document.Members(document.Find(r.members, "metadata")); err == nil {
		var user struct {
			SessionID string `json:"session_id"`
		}
		if json.Unmarshal([]byte(document.Field(metadata, "user_id")), &user) == nil {
			r.SessionID = user.SessionID
		}
	}
	return r, nil
}

func readMessage(s *document.Scanner) (m message, err error) {
	m.members = make([]document.Member, 0, 2) // role and content
	m.whole, err = s.Object(func(name string) error {
		if name == "content" && s.Kind() == '[' {
			m.listed, m.blocks = true, nil
			m.members = append(m.members, document.Member{Name: name})
			return s.Array(func() error {
				p, err := readPart(s)
				m.blocks = append(m.blocks, p)
				return err
			})
		}
		value, err := s.Value()
		m.listed = m.listed && name != "content"
		m.members = append(m.members, document.Member{Name: name, Value: value})
		return err
	})
	switch role := document.Find(m.members, "role"); string(role) { // the usual ones cost no memory
	case `"user"`:
		m.role = "user"
	case `"assistant"`:
		m.role = "assistant"
	default:
		m.role = document.Text(role)
	}
	return m, err
}

func readPart(s *document.Scanner) (p part, err error) {
	if s.Kind() == '{' {
		p.members, p.whole, err = s.Members()
		return p, err
	}
	p.whole, err = s.Value()
	return p, err
}
