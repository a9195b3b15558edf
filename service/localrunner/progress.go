package localrunner

import (
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Progress hears how far a long command is; either may be nil.
type Progress struct {
	Begin func(name string)
	Done  func(runner.Proof)
	Warn  func(state.Warning) // of what may go wrong; it is tried all the same
}
