package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
)

// Client talks to the running Switchyard over its socket. If there is none, every call
// returns ErrNotRunning.
type Client struct{ client *http.Client }

// Find connects to the running Switchyard. The error is ErrNotRunning if there is none.
func Find(ctx context.Context, m *machine.Machine) (*Client, error) {
	conn, err := Dial(ctx, m)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return Connect(m), nil
}

// Connect is Find without trying the connection.
func Connect(m *machine.Machine) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		Proxy: nil, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, m) },
	}}}
}

// Dial opens the socket of the running Switchyard. The error is ErrNotRunning if there is
// none.
func Dial(ctx context.Context, m *machine.Machine) (net.Conn, error) {
	for _, dir := range []string{m.Paths.Runtime, m.Paths.State} {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketName)); err == nil {
			return conn, nil
		}
	}
	return nil, ErrNotRunning
}

func (s *Client) send(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://switchyard"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("the running Switchyard says: %s", said)
	}
	return resp, nil
}

// Ask sends one request, and decodes the answer into a value, unless that is nil. It does
// not wait long.
func (s *Client) Ask(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	return s.askLong(ctx, method, path, into)
}

// askLong is Ask without a time limit of its own.
func (s *Client) askLong(ctx context.Context, method, path string, into any) error {
	resp, err := s.send(ctx, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// Gateway is what the gateway is doing.
func (s *Client) Gateway(ctx context.Context) (state.Gateway, error) {
	var g state.Gateway
	err := s.Ask(ctx, http.MethodGet, "/gateway", &g)
	return g, err
}

// Runner is the runner as the supervisor sees it.
func (s *Client) Runner(ctx context.Context) (state.Runner, error) {
	var r state.Runner
	err := s.Ask(ctx, http.MethodGet, "/runner", &r)
	return r, err
}

// Pulls are the pulls in progress, and those that ended recently.
func (s *Client) Pulls(ctx context.Context) ([]state.Pull, error) {
	var pulls []state.Pull
	err := s.Ask(ctx, http.MethodGet, "/pulls", &pulls)
	return pulls, err
}

// Address is where the gateway listens. It waits until the gateway has a guard.
func (s *Client) Address(ctx context.Context) (Address, error) {
	var a Address
	err := s.Ask(ctx, http.MethodGet, "/address", &a)
	return a, err
}

// RotateToken gives the gateway a new token, and the settings with it.
func (s *Client) RotateToken(ctx context.Context) error {
	return s.Ask(ctx, http.MethodPost, "/token", nil)
}

// Raise makes the running Switchyard show itself.
func (s *Client) Raise(ctx context.Context) error {
	return s.Ask(ctx, http.MethodPost, "/raise", nil)
}

// Requests calls each with the recent requests, oldest first; with follow instead with
// every request from now on, until the context ends.
func (s *Client) Requests(ctx context.Context, follow bool, each func(gateway.Record) error) error {
	path := "/requests"
	if follow {
		path += "?follow=1"
	}
	resp, err := s.send(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var r gateway.Record
		switch err := dec.Decode(&r); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// Control starts, stops or restarts the runner. The error is a *fault.Error.
func (s *Client) Control(ctx context.Context, c localrunner.Verb) error {
	var answer controlAnswer
	ctx, cancel := context.WithTimeout(ctx, localrunner.EffortTime+localrunner.Quick)
	defer cancel()
	if err := s.askLong(ctx, http.MethodPost, "/runner/"+string(c), &answer); err != nil {
		return &fault.Error{Kind: fault.Failed, What: c.Task(), Why: err.Error(), Remedy: "try again", Err: err}
	}
	if answer.Failed {
		return &fault.Error{Kind: answer.Kind, What: answer.What, Why: answer.Why, Remedy: answer.Remedy}
	}
	return nil
}

// Session asks for what a new session of switchyard run needs to know; an empty model
// means the chosen one.
func (s *Client) Session(ctx context.Context, model string) (known SessionAnswer, err error) {
	err = s.Ask(ctx, "GET", "/run?model="+url.QueryEscape(model), &known)
	return known, err
}

// Watched says that the caller writes the audit line of a session.
func (s *Client) Watched(ctx context.Context, id string) error {
	return s.Ask(ctx, "POST", "/watched?session="+id, nil)
}

// Pull has the running Switchyard pull a model, and calls each with every step. If the
// context ends, the pull is cancelled. The error is a *fault.Error.
func (s *Client) Pull(ctx context.Context, ref string, each func(state.Pull)) (last state.Pull, err error) {
	what := "pulling " + ref
	query := "?ref=" + url.QueryEscape(ref)
	defer func() {
		if ctx.Err() == nil {
			return
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), localrunner.Quick)
		defer cancel()
		_ = s.Ask(ending, http.MethodDelete, "/pull"+query, nil)
		err = &fault.Error{Kind: fault.Failed, What: what, Why: "it was cancelled", Remedy: "pull it again: it resumes where it stopped", Err: ctx.Err()}
	}()
	resp, err := s.send(ctx, http.MethodPost, "/pull"+query)
	if err != nil {
		return last, &fault.Error{Kind: fault.Refused, What: what, Why: strings.TrimSpace(err.Error()), Remedy: "see switchyard status", Err: err}
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); !last.State.Over(); each(last) {
		if err := dec.Decode(&last); err != nil {
			return last, &fault.Error{Kind: fault.Failed, What: what, Why: "Switchyard quit", Remedy: "start it again: switchyard; it resumes the pull", Err: err}
		}
	}
	if last.State != state.PullDone {
		return last, &fault.Error{Kind: fault.Failed, What: what, Why: cmp.Or(last.Why, "it was cancelled"), Remedy: cmp.Or(last.Remedy, "pull it again: it resumes where it stopped")}
	}
	return last, nil
}
