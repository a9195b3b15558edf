package state

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Severity is how bad a finding is.
type Severity string

const (
	Bad  Severity = "error"   // the local route cannot work
	Poor Severity = "warning" // it works, but not well or not safely
)

// Finding is something that is wrong with the machine's set-up.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"`
	Command  string   `json:"command"` // what exactly to type; empty when there is no such command
	Fixable  bool     `json:"fixable"` // Fix does it

	Cure func(context.Context) error `json:"-"`
}

// Advice is the remedy, with the command to type where that does not name it.
func (f Finding) Advice() string {
	if f.Command == "" || strings.Contains(f.Remedy, f.Command) {
		return f.Remedy
	}
	return f.Remedy + ": " + f.Command
}

// Fix does what the remedy says. Only a fixable finding has it.
func (f Finding) Fix(ctx context.Context) error { return f.Cure(ctx) }

func (f Finding) Rank() int {
	if f.Severity == Bad {
		return 0
	}
	return 1
}

// Ready tells whether nothing bad was found, and the proofs hold.
func Ready(found []Finding, failed error) bool {
	return failed == nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == Bad })
}

// Departure is what a check before a departure found. N counts those that a
// person shall hear of.
type Departure struct {
	N        int       `json:"n"`
	At       time.Time `json:"at"`
	Ready    bool      `json:"ready"`
	Failed   string    `json:"failed,omitempty"` // the first proof that does not hold, in words
	Remedy   string    `json:"remedy,omitempty"`
	Findings []Finding `json:"findings"`
}
