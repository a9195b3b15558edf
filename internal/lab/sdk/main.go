// Command sdk asks a Messages API through Anthropic's own SDK, and says how its
// types read the answer.
//
//	sdk URL TOKEN
//
// It takes a Request in each line of its input and writes an Answer for each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// Request is the body of a request, and whether the answer is to be a stream: the body says so too.
type Request struct {
	Body   []byte `json:"body"`
	Stream bool   `json:"stream"`
}

// Answer is what the SDK's types make of an answer.
type Answer struct {
	Status       int      `json:"status"`
	Error        string   `json:"error"`    // the message of an error
	Type         string   `json:"type"`     // its type
	Problems     []string `json:"problems"` // what no answer of Anthropic's has
	Stop         string   `json:"stop"`
	StopSequence string   `json:"stop_sequence"`
	Blocks       []Block  `json:"blocks"`
	Input        int64    `json:"input"` // tokens
	Cached       int64    `json:"cached"`
	Output       int64    `json:"output"`
}

// Block is one of an answer's content.
type Block struct {
	Type  string          `json:"type"`
	Text  string          `json:"text"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "sdk: want URL TOKEN")
		os.Exit(2)
	}
	client := anthropic.NewClient(option.WithBaseURL(os.Args[1]), option.WithAuthToken(os.Args[2]), option.WithMaxRetries(0))
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 256<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r Request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, "sdk:", err)
			os.Exit(1)
		}
		if err := out.Encode(ask(client, r)); err != nil {
			os.Exit(1)
		}
	}
}

func ask(client anthropic.Client, r Request) (a Answer) {
	body := option.WithRequestBody("application/json", r.Body)
	var message *anthropic.Message
	var err error
	if r.Stream {
		message, err = a.read(client, body)
	} else {
		message, err = client.Messages.New(context.Background(), anthropic.MessageNewParams{}, body)
	}
	var refused *anthropic.Error
	switch {
	case errors.As(err, &refused):
		var said struct{ Error struct{ Message string } }
		_ = json.Unmarshal([]byte(refused.RawJSON()), &said)
		a.Status, a.Type, a.Error = refused.StatusCode, string(refused.Type()), said.Error.Message
	case err != nil:
		a.problem("%v", err)
	default:
		a.Status = 200
		a.take(message)
	}
	return a
}

func (a *Answer) problem(format string, args ...any) {
	a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
}

// read reads a stream, and looks at the order of its events.
func (a *Answer) read(client anthropic.Client, body option.RequestOption) (*anthropic.Message, error) {
	stream := client.Messages.NewStreaming(context.Background(), anthropic.MessageNewParams{}, body)
	defer stream.Close()
	message := anthropic.Message{}
	open, events := int64(-1), []string{}
	for stream.Next() {
		event := stream.Current()
		events = append(events, event.Type)
		switch e := event.AsAny().(type) {
		case anthropic.MessageStartEvent, anthropic.MessageDeltaEvent, anthropic.MessageStopEvent:
			if open >= 0 {
				a.problem("%s inside of block %d", event.Type, open)
			}
		case anthropic.ContentBlockStartEvent:
			if open >= 0 {
				a.problem("block %d begins inside of block %d", e.Index, open)
			}
			open = e.Index
		case anthropic.ContentBlockDeltaEvent:
			if e.Index != open {
				a.problem("a piece of block %d inside of block %d", e.Index, open)
			}
			if e.Delta.AsAny() == nil {
				a.problem("a piece of the unknown kind %q", e.Delta.Type)
			}
		case anthropic.ContentBlockStopEvent:
			if e.Index != open {
				a.problem("block %d ends inside of block %d", e.Index, open)
			}
			open = -1
		default:
			a.problem("an event of the unknown kind %q", event.Type)
		}
		if err := message.Accumulate(event); err != nil {
			a.problem("%v", err)
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if len(events) < 3 || events[0] != "message_start" || !slices.Equal(events[len(events)-2:], []string{"message_delta", "message_stop"}) {
		a.problem("the events are %q", events)
	}
	return &message, nil
}

// take looks at a message.
func (a *Answer) take(m *anthropic.Message) {
	a.Stop, a.StopSequence = string(m.StopReason), m.StopSequence
	a.Input, a.Cached, a.Output = m.Usage.InputTokens, m.Usage.CacheReadInputTokens, m.Usage.OutputTokens
	stops := []anthropic.StopReason{anthropic.StopReasonEndTurn, anthropic.StopReasonMaxTokens, anthropic.StopReasonStopSequence, anthropic.StopReasonToolUse}
	if !slices.Contains(stops, m.StopReason) {
		a.problem("stop reason %q", m.StopReason)
	}
	if m.ID == "" || m.Model == "" || m.Role != "assistant" || m.Type != "message" {
		a.problem("id %q, model %q, role %q, type %q", m.ID, m.Model, m.Role, m.Type)
	}
	if (m.StopReason == anthropic.StopReasonStopSequence) != (m.StopSequence != "") {
		a.problem("stop reason %q beside the stop sequence %q", m.StopReason, m.StopSequence)
	}
	if a.Input+a.Cached == 0 {
		a.problem("no tokens of a prompt")
	}
	for _, b := range m.Content {
		block := Block{Type: b.Type, Text: b.Text}
		switch b := b.AsAny().(type) {
		case anthropic.TextBlock:
		case anthropic.ThinkingBlock:
			block.Text = b.Thinking
		case anthropic.ToolUseBlock:
			block.Name, block.Input = b.Name, b.Input
			if b.ID == "" || b.Name == "" {
				a.problem("a call with the id %q and the name %q", b.ID, b.Name)
			}
			var input map[string]any
			if err := json.Unmarshal(b.Input, &input); err != nil {
				a.problem("a call's input: %v", err)
			}
		default:
			a.problem("a block of the unknown kind %q", b)
		}
		a.Blocks = append(a.Blocks, block)
	}
}
