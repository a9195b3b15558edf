// Package fault has the error that every command returns: what was tried, why it did not work, and what to do; and it words the errors of the leaves so.
package fault

import "fmt"

// Kind sorts errors by what a caller can do about them.
type Kind int

const (
	Failed      Kind = iota // something broke
	Refused                 // nothing was changed, for a reason that a person can remove
	Unreachable             // no runner answers
)

// Error is what every command returns: what was tried, why it did not work, what to do.
type Error struct {
	Kind              Kind
	What, Why, Remedy string
	Err               error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s; %s", e.What, e.Why, e.Remedy) }
func (e *Error) Unwrap() error { return e.Err }
