package state

import (
	"fmt"
	"strings"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// PullState is how a pull is.
type PullState string

const (
	Queued     PullState = "queued"
	Pulling    PullState = "pulling"
	Waiting    PullState = "waiting" // for the network or the runner, to go on where it ended
	PullDone   PullState = "done"
	PullFailed PullState = "failed"
	Cancelled  PullState = "cancelled"
)

// Over tells whether nothing more will happen.
func (s PullState) Over() bool { return s == PullDone || s == PullFailed || s == Cancelled }

// Pull is a model on its way into the runner's store, or one that came lately.
type Pull struct {
	Ref     string      `json:"ref"` // as it was asked for
	State   PullState   `json:"state"`
	Done    int64       `json:"done_bytes"`
	Total   int64       `json:"total_bytes"`       // 0 while it is unknown
	Rate    float64     `json:"bytes_per_s"`       // of the last seconds
	Left    float64     `json:"left_s"`            // 0 while it is unknown
	Others  bool        `json:"others,omitempty"`  // somebody else pulls it
	Updated bool        `json:"updated,omitempty"` // the tag was there, and is another model now
	Why     string      `json:"why,omitempty"`     // it failed, or waits
	Remedy  string      `json:"remedy,omitempty"`
	Size    int64       `json:"size_bytes,omitempty"` // when it is done
	Context int         `json:"context,omitempty"`    // when it is done
	Fit     gpu.Verdict `json:"fit,omitempty"`        // when it is done
	N       int         `json:"n"`                    // counts the pulls, so that the same one twice is two
}

// Text says in a line how a pull is.
func (p Pull) Text() string {
	parts := []string{runner.Short(runner.Full(p.Ref))}
	switch {
	case p.State == Queued:
		parts = append(parts, words.T("queued"))
	case p.State == Waiting:
		parts = append(parts, words.T("waits: %s", p.Why))
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
