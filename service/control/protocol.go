// Package control is the local socket of the running Switchyard: its protocol, the client
// that commands use, and the server. Where no Switchyard runs, commands do their work
// themselves.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
)

// All that can be asked over the socket, and what answers. The address and the handing
// over of the listeners (POST /yield, see door) are for this user's processes alone, as
// is the socket.
var (
	askGateway = question[state.Gateway]{http.MethodGet, "/gateway"}
	askAddress = question[Address]{http.MethodGet, "/address"}
	askSession = question[SessionAnswer]{http.MethodGet, "/run"} // model
	askRunner  = question[state.Runner]{http.MethodGet, "/runner"}
	askPulls   = question[[]state.Pull]{http.MethodGet, "/pulls"}

	doRotate  = question[nothing]{http.MethodPost, "/token"}
	doRaise   = question[nothing]{http.MethodPost, "/raise"}
	doQuit    = question[nothing]{http.MethodPost, "/quit"}
	doWatch   = question[nothing]{http.MethodPost, "/watched"} // session
	endPull   = question[nothing]{http.MethodDelete, "/pull"}  // ref
	doControl = func(verb localrunner.Verb) question[controlAnswer] {
		return question[controlAnswer]{http.MethodPost, "/runner/" + string(verb)}
	}

	tellRequests = stream[gateway.Record]{http.MethodGet, "/requests"} // follow
	tellPull     = stream[state.Pull]{http.MethodPost, "/pull"}        // ref
)

// nothing is the answer of what only succeeds or fails.
type nothing struct{}

// question is asked by the client, and answered by the server as one JSON value.
type question[Answer any] struct{ method, path string }

// ask asks the running Switchyard, as long as the context allows.
func (q question[Answer]) ask(ctx context.Context, c *Client, values url.Values) (answer Answer, err error) {
	resp, err := c.send(ctx, q.method, q.path, values)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if _, silent := any(answer).(nothing); silent {
		return answer, nil
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer, err
}

// quick asks what is answered at once.
func (q question[Answer]) quick(ctx context.Context, c *Client, values url.Values) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	return q.ask(ctx, c, values)
}

// answer has the server answer it.
func (q question[Answer]) answer(mux *http.ServeMux, f func(*http.Request) (Answer, error)) {
	mux.HandleFunc(q.method+" "+q.path, func(w http.ResponseWriter, r *http.Request) {
		answer, err := f(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if _, silent := any(answer).(nothing); silent {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
}

// stream is a question whose answers come one after the other, a line of JSON each.
type stream[Item any] struct{ method, path string }

// read hands each item to the caller, until the other side ends or each fails.
func (s stream[Item]) read(ctx context.Context, c *Client, values url.Values, each func(Item) error) error {
	resp, err := c.send(ctx, s.method, s.path, values)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var item Item
		switch err := dec.Decode(&item); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := each(item); err != nil {
			return err
		}
	}
}

// answer has the server answer it. An error before the first item is the answer.
func (s stream[Item]) answer(mux *http.ServeMux, f func(r *http.Request, send func(...Item) error) error) {
	mux.HandleFunc(s.method+" "+s.path, func(w http.ResponseWriter, r *http.Request) {
		begun := false
		err := f(r, func(items ...Item) error {
			if !begun {
				begun = true
				w.Header().Set("Content-Type", "application/x-ndjson")
			}
			var lines bytes.Buffer
			enc := json.NewEncoder(&lines)
			for _, item := range items {
				if err := enc.Encode(item); err != nil {
					return err
				}
			}
			if _, err := w.Write(lines.Bytes()); err != nil {
				return err
			}
			return http.NewResponseController(w).Flush()
		})
		if err != nil && !begun {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
}

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
	About   string            `json:"about"` // the model in words
	Slots   int               `json:"slots"` // requests that the model is given at a time; 0 when unknown
	Missing bool              `json:"missing"`
	NoTools bool              `json:"no_tools"` // the model calls none
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
