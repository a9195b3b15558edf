// Package fault has the error that every command returns: what was tried, why it failed,
// and what to do. It turns the errors of other packages into such errors.
package fault

import "fmt"

// Kind says what a caller can do about an error.
type Kind int

// The kinds of errors.
const (
	Failed      Kind = iota // something broke
	Refused                 // nothing was changed, for a reason that the user can remove
	Unreachable             // no runner answers
)

// Error says what was tried, why it failed, and what to do about it. Err is the cause, if
// there is one.
type Error struct {
	Kind              Kind
	What, Why, Remedy string
	Err               error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s; %s", e.What, e.Why, e.Remedy) }
func (e *Error) Unwrap() error { return e.Err }
