package control

import (
	"context"
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

// gatewaySide is what the socket asks of the gateway's host.
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

// supervisorSide is what it asks of the supervisor.
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

func (c *Server) Serve() { _ = c.server.Serve(c.listener) }

func (c *Server) Close() { _ = c.server.Close() }

// Listen listens on the socket, which only this user can open. A socket that
// a killed process left is replaced.
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
	answerYield(mux, g, listener)
	answerRunner(mux, s)
	answerPulls(mux, s)
	answerProgram(mux, s)
	return &Server{&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, listener}, nil
}

func answerGateway(mux *http.ServeMux, g gatewaySide) {
	askGateway.answer(mux, func(*http.Request) (state.Gateway, error) { return g.State(), nil })
	askAddress.answer(mux, func(r *http.Request) (Address, error) { return g.Address(r.Context()), nil })
	askSession.answer(mux, func(r *http.Request) (SessionAnswer, error) {
		return g.ForSession(r.Context(), r.FormValue("model")), nil
	})
	doRotate.answer(mux, func(*http.Request) (nothing, error) { return nothing{}, g.Rotate() })
	mux.Handle("GET /metrics", g.Metrics())
	tellRequests.answer(mux, func(r *http.Request, send func(...gateway.Record) error) error {
		if r.FormValue("follow") == "" {
			return send(g.Records()...)
		}
		return g.Follow(r.Context(), func(records []gateway.Record) error { return send(records...) })
	})
}

// answerYield gives a guard's listeners to a Switchyard that starts.
func answerYield(mux *http.ServeMux, g gatewaySide, socket net.Listener) {
	mux.HandleFunc("POST /yield", func(w http.ResponseWriter, _ *http.Request) {
		if !g.Yields() {
			http.Error(w, "it is not a guard", http.StatusConflict)
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
	askRunner.answer(mux, func(*http.Request) (state.Runner, error) { return s.State().Runner, nil })
	for _, verb := range []localrunner.Verb{localrunner.Start, localrunner.Stop, localrunner.Restart} {
		doControl(verb).answer(mux, func(r *http.Request) (controlAnswer, error) {
			return answerOf(verb, s.ChangeRunner(r.Context(), verb)), nil
		})
	}
}

// answerOf is how a command ended.
func answerOf(verb localrunner.Verb, err error) controlAnswer {
	if err == nil {
		return controlAnswer{}
	}
	var e *fault.Error
	if !errors.As(err, &e) {
		e = &fault.Error{Kind: fault.Failed, What: verb.Task(), Why: err.Error(), Remedy: "try again"}
	}
	return controlAnswer{Kind: e.Kind, What: e.What, Why: e.Why, Remedy: e.Remedy, Failed: true}
}

func answerPulls(mux *http.ServeMux, s supervisorSide) {
	tellPull.answer(mux, func(r *http.Request, send func(...state.Pull) error) error {
		heard, err := s.Pull(r.Context(), r.FormValue("ref"))
		if err != nil {
			reason, remedy := fault.Explain(err)
			return errors.New(reason + "; " + remedy)
		}
		for {
			select {
			case <-r.Context().Done():
				return r.Context().Err()
			case p := <-heard:
				if err := send(p); err != nil || p.State.Over() {
					return err
				}
			}
		}
	})
	endPull.answer(mux, func(r *http.Request) (nothing, error) {
		s.CancelPull(r.Context(), r.FormValue("ref"))
		return nothing{}, nil
	})
	askPulls.answer(mux, func(*http.Request) ([]state.Pull, error) { return state.List(s.State().Pulls), nil })
}

func answerProgram(mux *http.ServeMux, s supervisorSide) {
	doQuit.answer(mux, func(*http.Request) (nothing, error) {
		s.Quit()
		return nothing{}, nil
	})
	doRaise.answer(mux, func(r *http.Request) (nothing, error) {
		s.Raise(r.Context())
		return nothing{}, nil
	})
	doWatch.answer(mux, func(r *http.Request) (nothing, error) {
		s.Watched(r.Context(), r.FormValue("session"))
		return nothing{}, nil
	})
}
