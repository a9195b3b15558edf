package state

import (
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/network"
)

// Network is how far the machine's network goes, once that has settled.
type Network struct {
	Reach network.Reach `json:"reach"`
	Since time.Time     `json:"since,omitzero"`
}

// Advice is a switch that the network suggests. N counts them.
type Advice struct {
	N     int
	Route claude.Route
	Text  string
}
