package state

import (
	"path/filepath"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/words"
)

// Unknown is the route of a session of which nothing says where its requests go.
const Unknown claude.Route = "unknown"

// Session is a running Claude Code.
type Session struct {
	PID       int          `json:"pid"`
	SessionID string       `json:"session_id"`
	CWD       string       `json:"cwd"`
	Kind      string       `json:"kind"` // interactive, print (claude -p), or the program that it runs in
	Version   string       `json:"version"`
	Started   time.Time    `json:"started,omitzero"`
	Status    string       `json:"status"`
	Route     claude.Route `json:"route"`     // where its next request goes; Unknown where nothing tells
	Model     string       `json:"model"`     // empty: not known
	PinnedBy  string       `json:"pinned_by"` // what keeps it from following a switch; empty: nothing does
	Stale     bool         `json:"stale"`     // its process was killed, only the record is left
	Lean      bool         `json:"lean"`      // it began with the lean profile

	Requests       int       `json:"requests"` // through the gateway
	InputTokens    int       `json:"input_tokens"`
	OutputTokens   int       `json:"output_tokens"`
	LastSeen       time.Time `json:"last_seen,omitzero"`
	ContextUsedPct float64   `json:"context_used_pct"` // after its last turn through the gateway; 0 when unknown

	Behind    bool   `json:"behind"`           // it did not follow the last switch
	Forbidden bool   `json:"forbidden"`        // it is in the cloud where that is forbidden
	Reason    string `json:"reason,omitempty"` // why it did not, or why its route is not known
	Remedy    string `json:"remedy,omitempty"`
}

// Place names a session by its folder.
func (s Session) Name() string {
	if s.CWD == "" {
		return words.T("process %d", s.PID)
	}
	return filepath.Base(s.CWD)
}
