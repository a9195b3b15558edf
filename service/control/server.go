package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
)

// gatewaySide is what the server needs of the gateway.
type gatewaySide interface {
	State() state.Gateway
	Address(context.Context) Address
	ForSession(ctx context.Context, model string) SessionAnswer
	Records() []gateway.Record
	Follow(context.Context, func([]gateway.Record) error) error
	Metrics() http.Handler
	Rotate() error
	Yields() bool
	Yield(net.Conn)
}

// supervisorSide is what the server needs of the supervisor.
type supervisorSide interface {
	State() state.State
	ChangeRunner(context.Context, localrunner.Verb) error
	Pull(ctx context.Context, ref string) (<-chan state.Pull, error)
	CancelPull(ctx context.Context, ref string)
	Watched(ctx context.Context, session string)
	Raise(context.Context)
	Quit()
}

// Server is the running Switchyard's side of the socket.
type Server struct {
	server   *http.Server
	listener net.Listener
}

// Listen opens the socket, which only this user can use. A socket that a killed process
// left behind is replaced.
func Listen(paths config.Paths, g gatewaySide, s supervisorSide) (*Server, error) {
	dir, err := paths.RuntimeDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, socketName)
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil && runtime.GOOS != "windows" { // there the folder's permissions protect it
		_ = listener.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	answerGateway(mux, g)
	answerRequests(mux, g)
	answerYield(mux, g, listener)
	answerRunner(mux, s)
	answerPulls(mux, s)
	answerProgram(mux, s)
	return &Server{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, listener}, nil
}

// Serve answers requests until Close.
func (c *Server) Serve() { _ = c.server.Serve(c.listener) }

// Close ends Serve, and removes the socket.
func (c *Server) Close() { _ = c.server.Close() }

func answerGateway(mux *http.ServeMux, g gatewaySide) {
	mux.HandleFunc("GET /gateway", func(w http.ResponseWriter, _ *http.Request) { reply(w, g.State()) })
	mux.HandleFunc("GET /run", func(w http.ResponseWriter, r *http.Request) {
		reply(w, g.ForSession(r.Context(), r.FormValue("model")))
	})
	mux.HandleFunc("GET /address", func(w http.ResponseWriter, r *http.Request) { reply(w, g.Address(r.Context())) })
	mux.Handle("GET /metrics", g.Metrics())
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.Rotate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func answerRequests(mux *http.ServeMux, g gatewaySide) {
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc := json.NewEncoder(w)
		send := func(records []gateway.Record) error {
			for _, record := range records {
				if err := enc.Encode(record); err != nil {
					return err
				}
			}
			return http.NewResponseController(w).Flush()
		}
		if r.FormValue("follow") == "" {
			_ = send(g.Records())
			return
		}
		_ = g.Follow(r.Context(), send)
	})
}

// answerYield hands a guard's listeners to a Switchyard that is starting.
func answerYield(mux *http.ServeMux, g gatewaySide, socket net.Listener) {
	mux.HandleFunc("POST /yield", func(w http.ResponseWriter, _ *http.Request) {
		if !g.Yields() {
			http.Error(w, "this is not a guard", http.StatusConflict)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = socket.Close() // also removes the socket: the path is free for the next one
		g.Yield(conn)
	})
}

func answerRunner(mux *http.ServeMux, s supervisorSide) {
	mux.HandleFunc("GET /runner", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.State().Runner) })
	for _, c := range []localrunner.Verb{localrunner.Start, localrunner.Stop, localrunner.Restart} {
		mux.HandleFunc("POST /runner/"+string(c), func(w http.ResponseWriter, r *http.Request) {
			reply(w, answerOf(c, s.ChangeRunner(r.Context(), c)))
		})
	}
}

// answerOf is the answer for an error, or for none.
func answerOf(c localrunner.Verb, err error) controlAnswer {
	if err == nil {
		return controlAnswer{}
	}
	var e *fault.Error
	if !errors.As(err, &e) {
		e = &fault.Error{Kind: fault.Failed, What: c.Task(), Why: err.Error(), Remedy: "try again"}
	}
	return controlAnswer{Kind: e.Kind, What: e.What, Why: e.Why, Remedy: e.Remedy, Failed: true}
}

func answerPulls(mux *http.ServeMux, s supervisorSide) {
	mux.HandleFunc("POST /pull", func(w http.ResponseWriter, r *http.Request) {
		steps, err := s.Pull(r.Context(), r.FormValue("ref"))
		if err != nil {
			reason, remedy := fault.Explain(err)
			http.Error(w, reason+"; "+remedy, http.StatusConflict)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc := json.NewEncoder(w)
		for {
			select {
			case <-r.Context().Done():
				return
			case p := <-steps:
				if enc.Encode(p) != nil || http.NewResponseController(w).Flush() != nil || p.State.Over() {
					return
				}
			}
		}
	})
	mux.HandleFunc("DELETE /pull", func(_ http.ResponseWriter, r *http.Request) { s.CancelPull(r.Context(), r.FormValue("ref")) })
	mux.HandleFunc("GET /pulls", func(w http.ResponseWriter, _ *http.Request) { reply(w, state.List(s.State().Pulls)) })
}

func answerProgram(mux *http.ServeMux, s supervisorSide) {
	mux.HandleFunc("POST /quit", func(http.ResponseWriter, *http.Request) { s.Quit() })
	mux.HandleFunc("POST /raise", func(_ http.ResponseWriter, r *http.Request) { s.Raise(r.Context()) })
	mux.HandleFunc("POST /watched", func(_ http.ResponseWriter, r *http.Request) { s.Watched(r.Context(), r.FormValue("session")) })
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
