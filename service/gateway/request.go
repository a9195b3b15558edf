package gateway

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// request is a Messages request as far as the gateway has to understand it. It
// is read in one pass; the rest stays bytes of the body.
type request struct {
	members   []member // without the value of messages
	messages  []message
	model     string
	stream    bool
	tools     bool   // it offers tools: a session's turn, no title job
	sessionID string // from the body; a header may say it too
}

// message is one message of a conversation.
type message struct {
	whole   jsontext.Value
	members []member // content without its value when it is a list
	role    string
	listed  bool // content is a list
	blocks  []part
}

// part is one element of a message's content.
type part struct {
	whole   jsontext.Value
	members []member // nil for what is not an object
}

// parse reads a request's body.
func parse(body []byte) (*request, error) {
	r := &request{}
	s := scan(body)
	list := false
	if _, err := s.object(func(name string) error {
		if name == "messages" && s.kind() == '[' {
			list, r.messages = true, nil // of a name that comes twice the last counts
			r.members = append(r.members, member{name: name})
			return s.array(func() error { return r.readMessage(s) })
		}
		value, err := s.value()
		list = list && name != "messages"
		r.members = append(r.members, member{name, value})
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	r.model, r.stream = field(r.members, "model"), find(r.members, "stream").Kind() == 't'
	switch {
	case r.model == "":
		return nil, errors.New(`it names no "model"`)
	case !list:
		return nil, errors.New(`it has no list "messages"`)
	}
	if offered, err := elements(find(r.members, "tools")); err == nil {
		r.tools = len(offered) > 0
	}
	if metadata, err := members(find(r.members, "metadata")); err == nil {
		var user struct {
			SessionID string `json:"session_id"`
		}
		if json.Unmarshal([]byte(field(metadata, "user_id")), &user) == nil {
			r.sessionID = user.SessionID
		}
	}
	return r, nil
}

func (r *request) readMessage(s *scanner) (err error) {
	var m message
	m.whole, err = s.object(func(name string) error {
		if name == "content" && s.kind() == '[' {
			m.listed, m.blocks = true, nil
			m.members = append(m.members, member{name: name})
			return s.array(func() error { return m.readPart(s) })
		}
		value, err := s.value()
		m.listed = m.listed && name != "content"
		m.members = append(m.members, member{name, value})
		return err
	})
	if err != nil {
		return fmt.Errorf("message %d: %w", len(r.messages), err)
	}
	m.role = field(m.members, "role")
	r.messages = append(r.messages, m)
	return nil
}

func (m *message) readPart(s *scanner) (err error) {
	var p part
	if s.kind() == '{' {
		p.members, p.whole, err = s.members()
	} else {
		p.whole, err = s.value()
	}
	m.blocks = append(m.blocks, p)
	return err
}
