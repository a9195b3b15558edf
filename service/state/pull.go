package state

import (
	"fmt"
	"strings"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// PullState is the state of a pull.
type PullState string

// The states of a pull.
const (
	Queued     PullState = "queued"
	Pulling    PullState = "pulling"
	Waiting    PullState = "waiting" // for the network or the runner, before it is resumed
	PullDone   PullState = "done"
	PullFailed PullState = "failed"
	Cancelled  PullState = "cancelled"
)

// Over reports whether the pull has ended, well or not.
func (s PullState) Over() bool { return s == PullDone || s == PullFailed || s == Cancelled }

// Pull is a model being pulled into the runner's store, or one pulled recently.
type Pull struct {
	Ref     string      `json:"ref"` // as the user wrote it
	State   PullState   `json:"state"`
	Done    int64       `json:"done_bytes"`
	Total   int64       `json:"total_bytes"`       // 0 while it is unknown
	Rate    float64     `json:"bytes_per_s"`       // of the last seconds
	Left    float64     `json:"left_s"`            // 0 while it is unknown
	Others  bool        `json:"others,omitempty"`  // not pulled by Switchyard
	Updated bool        `json:"updated,omitempty"` // the tag was there before, with another model
	Why     string      `json:"why,omitempty"`     // why it failed or waits
	Remedy  string      `json:"remedy,omitempty"`
	Size    int64       `json:"size_bytes,omitempty"` // when it is done
	Context int         `json:"context,omitempty"`    // when it is done
	Fit     gpu.Verdict `json:"fit,omitempty"`        // when it is done
	N       int         `json:"n"`                    // the number of the pull, so that the same model pulled twice is told apart
}

// Text is a line for the menu: the model, and how far it is.
func (p Pull) Text() string {
	parts := []string{runner.Short(runner.Full(p.Ref))}
	switch {
	case p.State == Queued:
		parts = append(parts, words.T("queued"))
	case p.State == Waiting:
		parts = append(parts, words.T("waiting: %s", p.Why))
	case p.Total > 0:
		parts = append(parts, fmt.Sprintf("%d %%", 100*p.Done/p.Total))
	case p.Done > 0:
		parts = append(parts, words.Size(p.Done))
	}
	if p.Left > 0 {
		parts = append(parts, words.T("%s left", words.Duration(p.Left)))
	}
	return strings.Join(parts, "  ")
}
