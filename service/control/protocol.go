// Package control is the local socket of the running Switchyard: the protocol, the client
// that commands use, and the server. If no Switchyard is running, commands do the work
// themselves.
package control

import (
	"errors"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/state"
)

const socketName = "switchyard.sock"

// ErrNotRunning means that there is no Switchyard to ask.
var ErrNotRunning = errors.New("no Switchyard is running")

// Address is the gateway's base URL and the token that it requires.
type Address struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// SessionAnswer is what a new session of switchyard run needs to know.
type SessionAnswer struct {
	Address Address           `json:"address"`
	Model   string            `json:"model"`
	Context int               `json:"context"` // tokens
	Missing bool              `json:"missing"` // the runner does not have Model
	Route   claude.Route      `json:"route"`
	Runner  state.Runner      `json:"runner"`
	Users   []gateway.Session `json:"users"` // the sessions that use the gateway
}

// controlAnswer is how a command for the runner ended.
type controlAnswer struct {
	Failed            bool
	Kind              fault.Kind
	What, Why, Remedy string
}
