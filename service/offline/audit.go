// Package offline is about the offline route: it proves that nothing gets out, writes the
// audit file, and suggests a switch when the network goes or comes back.
package offline

import (
	"encoding/json"
	"os"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/state"
)

// AuditLine is a line of the audit file: one session on the offline route.
type AuditLine struct {
	Time         time.Time `json:"time"` // when the session or the route ended
	Session      string    `json:"session"`
	Began        string    `json:"began,omitempty"` // "before": the session is older than the route, and may have used the network
	Model        string    `json:"model"`
	Digest       string    `json:"digest"` // of the model
	Requests     int       `json:"requests"`
	InputTokens  int       `json:"input_tokens"`
	OutputTokens int       `json:"output_tokens"`
	Attempts     *int      `json:"non_loopback_attempts"` // names and connections that its process tree tried; null: not watched
}

// sessionOver is how long after its last request a session without a record counts as ended.
const sessionOver = 5 * time.Second

// Auditor makes the audit lines from one State after another. It is for one goroutine.
type Auditor struct {
	begun   bool // a State was seen; before the first one nothing was served
	offline bool
	base    map[string]gateway.Session // what a session had used before its current line
	open    map[string]AuditLine       // of sessions that have not ended
	Watched map[string]bool            // sessions whose lines "offline --verify" writes
}

// NewAuditor makes an Auditor that has seen nothing.
func NewAuditor() *Auditor {
	return &Auditor{base: map[string]gateway.Session{}, open: map[string]AuditLine{}, Watched: map[string]bool{}}
}

// Update takes a State. It returns the lines of sessions that have ended, and when to call it
// again without an event; zero: never.
func (a *Auditor) Update(s state.State, now time.Time) (lines []AuditLine, again time.Time) {
	offline := s.Route == claude.Offline
	if offline && !a.offline && a.begun {
		for _, g := range s.Gateway.Sessions {
			a.base[g.ID] = g
		}
	}
	left := a.offline && !offline
	a.begun, a.offline = true, offline
	for _, g := range s.Gateway.Sessions {
		i := slices.IndexFunc(s.Sessions, func(one state.Session) bool { return one.SessionID == g.ID })
		before := a.base[g.ID]
		if g.Requests < before.Requests { // the gateway had forgotten it
			before = gateway.Session{}
		}
		if counts := offline || left || i >= 0 && s.Sessions[i].Route == claude.Offline; !counts || g.Requests == before.Requests {
			continue
		}
		line := AuditLine{Session: g.ID, Model: g.Model, Digest: s.Digest(g.Model), Requests: g.Requests - before.Requests,
			InputTokens: g.InputTokens - before.InputTokens, OutputTokens: g.OutputTokens - before.OutputTokens}
		if i >= 0 && !s.Since.IsZero() && s.Sessions[i].Started.Before(s.Since) || before.Requests > 0 && a.open[g.ID].Session == "" {
			line.Began = "before"
		}
		if open, known := a.open[g.ID]; known {
			line.Began = open.Began
		}
		a.open[g.ID] = line
		over := g.Last.Add(sessionOver)
		switch {
		case g.Running > 0 && !left:
		case left || i < 0 && !now.Before(over):
			lines = append(lines, a.closeLine(g, now)...)
		case i < 0 && (again.IsZero() || over.Before(again)):
			again = over
		}
	}
	return lines, again
}

// CloseAll returns the lines of all sessions that have not ended, because Switchyard quits.
func (a *Auditor) CloseAll(s state.State, now time.Time) (lines []AuditLine) {
	for _, g := range s.Gateway.Sessions {
		if _, open := a.open[g.ID]; open {
			lines = append(lines, a.closeLine(g, now)...)
		}
	}
	return lines
}

// closeLine is the finished line of a session, unless another process writes it.
func (a *Auditor) closeLine(g gateway.Session, now time.Time) []AuditLine {
	line := a.open[g.ID]
	line.Time = now.UTC().Truncate(time.Second)
	a.base[g.ID] = g
	delete(a.open, g.ID)
	if a.Watched[g.ID] {
		return nil
	}
	return []AuditLine{line}
}

// AppendAudit appends lines to the audit file.
func AppendAudit(p config.Paths, lines []AuditLine) error {
	if len(lines) == 0 {
		return nil
	}
	var text []byte
	for _, line := range lines {
		one, err := json.Marshal(line)
		if err != nil {
			return err
		}
		text = append(append(text, one...), '\n')
	}
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(p.Audit(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text) // in one write: other processes append too
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}
