package state

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Severity is how bad a finding is.
type Severity string

// The severities of a finding.
const (
	SeverityError   Severity = "error"   // the local route cannot work
	SeverityWarning Severity = "warning" // it works, but not well or not safely
)

// Finding is a problem with the machine's set-up.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"`
	Command  string   `json:"command"` // what to type; empty: no single command does it
	Fixable  bool     `json:"fixable"` // Fix does it

	// Cure does what Remedy says; nil if Switchyard cannot.
	Cure func(context.Context) error `json:"-"`
}

// Advice is the remedy, with the command to type where that does not name it.
func (f Finding) Advice() string {
	if f.Command == "" || strings.Contains(f.Remedy, f.Command) {
		return f.Remedy
	}
	return f.Remedy + ": " + f.Command
}

// Fix does what the remedy says. Call it only if Fixable.
func (f Finding) Fix(ctx context.Context) error { return f.Cure(ctx) }

// Rank is for sorting: the lower, the worse.
func (f Finding) Rank() int {
	if f.Severity == SeverityError {
		return 0
	}
	return 1
}

// Ready reports whether no error was found and the proofs passed; failed is their error.
func Ready(found []Finding, failed error) bool {
	return failed == nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == SeverityError })
}

// Departure is the result of a check before going offline. N counts the checks that
// are to be notified.
type Departure struct {
	N        int       `json:"n"`
	At       time.Time `json:"at"`
	Ready    bool      `json:"ready"`
	Failed   string    `json:"failed,omitempty"` // the first proof that failed, in words; empty: all passed
	Remedy   string    `json:"remedy,omitempty"`
	Findings []Finding `json:"findings"`
}
