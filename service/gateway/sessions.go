package gateway

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Session is what the gateway knows of one running Claude Code.
type Session struct {
	ID             string    `json:"session_id"`
	Model          string    `json:"model"`
	Context        int       `json:"context"`          // tokens; 0 when unknown
	ContextUsedPct float64   `json:"context_used_pct"` // after its last turn
	Requests       int       `json:"requests"`         // subagents and side jobs included
	Running        int       `json:"running"`
	InputTokens    int       `json:"input_tokens"` // of all its requests
	OutputTokens   int       `json:"output_tokens"`
	Cut            int       `json:"cut"`         // answers that were cut off
	Overflows      int       `json:"overflows"`   // prompts that were too long
	Last           time.Time `json:"last"`        // when its last request came or ended
	NearlyFull     bool      `json:"nearly_full"` // it has passed nearlyFullPct, and not been compacted since
}

// nearlyFullPct is how much of its context a session may use before its user is told.
const nearlyFullPct = 85

// roomAgainPct is below what a session that was nearly full has been compacted.
const roomAgainPct = 60

// maxSessions is how many sessions are remembered.
const maxSessions = 100

type sessions struct {
	mu        sync.Mutex
	all       map[string]*Session
	rate      float64 // tokens per second of the last streamed answer
	rateTaken time.Time
}

func newSessions() *sessions { return &sessions{all: map[string]*Session{}} }

func (s *sessions) begin(r *Record, side bool) {
	if r.SessionID == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.all[r.SessionID]
	if known == nil {
		s.forget()
		known = &Session{ID: r.SessionID}
		s.all[r.SessionID] = known
	}
	known.Requests++
	known.Running++
	known.Last = r.Time
	if !side {
		known.Model = r.Model
	}
}

func (s *sessions) end(r *Record, side bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.TokensPerS > 0 {
		s.rate, s.rateTaken = r.TokensPerS, time.Now()
	}
	known := s.all[r.SessionID]
	if known == nil {
		return
	}
	known.Running--
	known.Last = time.Now()
	known.InputTokens += r.InputTokens
	known.OutputTokens += r.OutputTokens
	if r.Cut {
		known.Cut++
	}
	if r.Error == Overflow {
		known.Overflows++
	}
	if side || r.Error != "" { // a side job's prompt is not the session's
		return
	}
	known.Model, known.Context, known.ContextUsedPct = r.Model, r.Context, r.ContextUsedPct
	known.NearlyFull = r.ContextUsedPct >= nearlyFullPct || known.NearlyFull && r.ContextUsedPct >= roomAgainPct
}

// forget makes room for one more session.
func (s *sessions) forget() {
	for len(s.all) >= maxSessions {
		oldest := ""
		for id, known := range s.all {
			if known.Running == 0 && (oldest == "" || known.Last.Before(s.all[oldest].Last)) {
				oldest = id
			}
		}
		if oldest == "" {
			return
		}
		delete(s.all, oldest)
	}
}

// Load counts the requests of one model.
type Load struct {
	Model   string    `json:"model"`
	Running int       `json:"running"`
	Waiting int       `json:"waiting"`
	Slots   int       `json:"slots"`           // requests at a time
	Oldest  time.Time `json:"oldest,omitzero"` // since when the longest has waited; zero: none waits
}

// Snapshot is what the gateway does at this moment.
type Snapshot struct {
	Running    int       `json:"running"`      // requests at the engine
	Waiting    int       `json:"waiting"`      // requests in the queue
	TokensPerS float64   `json:"tokens_per_s"` // of the last answer; 0 when it is long ago
	Sessions   []Session `json:"sessions"`     // by id
	Loads      []Load    `json:"loads"`        // by model; of those that were asked
}

// RateAge is how long the last answer's speed is worth showing.
const RateAge = 2 * time.Minute

// Snapshot is what the gateway does now: requests, sessions and the models' queues.
func (g *Gateway) Snapshot() Snapshot {
	out := Snapshot{Sessions: []Session{}, Loads: []Load{}}
	g.mu.Lock()
	queues := maps.Clone(g.queues)
	g.mu.Unlock()
	for _, model := range slices.Sorted(maps.Keys(queues)) {
		load := queues[model].load()
		load.Model = model
		out.Running += load.Running
		out.Waiting += load.Waiting
		out.Loads = append(out.Loads, load)
	}
	s := g.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.rateTaken) < RateAge {
		out.TokensPerS = s.rate
	}
	for _, known := range s.all {
		out.Sessions = append(out.Sessions, *known)
	}
	slices.SortFunc(out.Sessions, func(a, b Session) int { return strings.Compare(a.ID, b.ID) })
	return out
}
