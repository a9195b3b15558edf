// Package control is the local socket of the running Switchyard: its protocol, the client that commands use, and the server. Where no Switchyard runs, commands do their work themselves.
package control

import (
	"errors"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
)

const socketName = "switchyard.sock"

// ErrNotRunning says that no Switchyard runs that could be asked.
var ErrNotRunning = errors.New("no Switchyard is running")

// Address is where the gateway listens and what it asks for.
type Address struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// SessionTime bounds how long a session's answer takes: the first look at the runner,
// then its models, then one of them.
const SessionTime = 3 * localrunner.Quick

// SessionAnswer is what the running Switchyard knows for a session.
type SessionAnswer struct {
	Address Address           `json:"address"`
	Model   string            `json:"model"`
	Context int               `json:"context"`
	Missing bool              `json:"missing"`
	Route   claude.Route      `json:"route"`
	Runner  state.Runner      `json:"runner"`
	Users   []gateway.Session `json:"users"` // what is known of the sessions
}

// controlAnswer is a command's end over the socket.
type controlAnswer struct {
	Failed            bool
	Kind              fault.Kind
	What, Why, Remedy string
}
