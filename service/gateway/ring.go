package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// Purpose is what a request is for that Switchyard itself makes. Such requests belong to no
// session and are in no total.
type Purpose string

// Proof is a request that proves that a model works.
const Proof Purpose = "proof"

// PurposeHeader names a request's Purpose. The runner's client sends it.
const PurposeHeader = "X-Switchyard-Purpose"

// Record is what is kept of one request: numbers and names, never a word of it.
type Record struct {
	Time           time.Time    `json:"time"`
	Purpose        Purpose      `json:"purpose,omitempty"` // empty: a session's
	SessionID      string       `json:"session_id"`
	AgentID        string       `json:"agent_id"` // of a subagent; empty for the session itself
	Model          string       `json:"model"`
	Status         int          `json:"status"`        // as the gateway judged it, also where a stream had begun
	InputTokens    int          `json:"input_tokens"`  // the whole prompt
	CachedTokens   int          `json:"cached_tokens"` // the part of it that came from the engine's cache
	OutputTokens   int          `json:"output_tokens"`
	TTFT           int64        `json:"ttft_ms"` // from the request's arrival to the first piece of content; 0 without one
	Duration       int64        `json:"duration_ms"`
	Queued         int64        `json:"queued_ms"`
	TokensPerS     float64      `json:"tokens_per_s"` // of the output, from its first piece on
	Context        int          `json:"context"`      // tokens; 0 when unknown
	ContextUsedPct float64      `json:"context_used_pct"`
	Bytes          int64        `json:"bytes"` // of the request as the engine got it
	Cut            bool         `json:"cut"`   // the answer was cut off at the greatest length that its request allows
	Error          Reason       `json:"error"`
	Notes          []shape.Note `json:"notes,omitempty"` // what the model got otherwise than it was sent
}

// ringSize is how many requests are remembered.
const ringSize = 1000

// ring holds the last records and lets others follow new ones.
type ring struct {
	mu      sync.Mutex
	records []Record // in the order of their end; at most ringSize
	added   int      // how many there ever were
	more    chan struct{}
}

func newRing() *ring { return &ring{more: make(chan struct{})} }

func (r *ring) add(record Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) == ringSize {
		r.records = slices.Delete(r.records, 0, 1)
	}
	r.records = append(r.records, record)
	r.added++
	close(r.more)
	r.more = make(chan struct{})
}

// since returns the records after the first n, how many there were in all, and a
// channel that is closed when there are more.
func (r *ring) since(n int) (records []Record, all int, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missed := min(r.added-n, len(r.records))
	return slices.Clone(r.records[len(r.records)-missed:]), r.added, r.more
}

// Records are the last requests, oldest first.
func (g *Gateway) Records() []Record {
	records, _, _ := g.ring.since(0)
	return records
}

// Follow hands over the last requests and then every new one, until the context
// ends or send fails.
func (g *Gateway) Follow(ctx context.Context, send func([]Record) error) error {
	seen := 0
	for {
		records, all, more := g.ring.since(seen)
		seen = all
		if err := send(records); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-more:
		}
	}
}
