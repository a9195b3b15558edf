package state

import (
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/network"
)

// Network is what the machine can reach. Short interruptions do not count.
type Network struct {
	Reach network.Reach `json:"reach"`
	Since time.Time     `json:"since,omitzero"`
}

// Advice suggests a switch because the network went or came back. N counts the suggestions.
type Advice struct {
	N     int
	Route claude.Route
	Text  string
}
