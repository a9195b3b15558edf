package state

import (
	"path/filepath"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/words"
)

// Unknown is the route of a session whose requests may go anywhere.
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
	Route     claude.Route `json:"route"`     // where its next request goes; Unknown if nothing says
	Model     string       `json:"model"`     // empty: not known
	PinnedBy  string       `json:"pinned_by"` // what keeps it from following a switch; empty: nothing does
	Stale     bool         `json:"stale"`     // its process was killed; only its record is left
	Lean      bool         `json:"lean"`      // started with the lean profile

	Requests       int       `json:"requests"` // through the gateway
	InputTokens    int       `json:"input_tokens"`
	OutputTokens   int       `json:"output_tokens"`
	LastSeen       time.Time `json:"last_seen,omitzero"`
	ContextUsedPct float64   `json:"context_used_pct"` // after its last turn through the gateway; 0 when unknown

	Behind    bool   `json:"behind"`           // it did not follow the last switch
	Forbidden bool   `json:"forbidden"`        // it is in the cloud where that is forbidden
	Reason    string `json:"reason,omitempty"` // why it is behind, forbidden or unknown
	Remedy    string `json:"remedy,omitempty"`
}

// Name is the last part of the session's folder, for messages.
func (s Session) Name() string {
	if s.CWD == "" {
		return words.T("process %d", s.PID)
	}
	return filepath.Base(s.CWD)
}
