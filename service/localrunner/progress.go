package localrunner

import (
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// Progress is called while a long command runs. Each function may be nil.
type Progress struct {
	Begin func(name string) // of a proof, or "start_runner"
	Done  func(runner.Proof)
	Warn  func(state.Warning) // what may go wrong; the command goes on
}
