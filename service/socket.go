package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway"
)

// RuntimeDir makes the folder for the lock and the socket. A login without a
// session has no runtime folder: then it is the state folder.
func (p Paths) RuntimeDir() (string, error) {
	if os.MkdirAll(p.Runtime, 0o700) == nil {
		return p.Runtime, nil
	}
	return p.State, os.MkdirAll(p.State, 0o700)
}

const socketName = "switchyard.sock"

// ErrNoSupervisor says that no Switchyard runs that could be asked.
var ErrNoSupervisor = errors.New("no Switchyard is running")

// Supervised is a connection to the Switchyard that runs, over its socket.
type Supervised struct{ client *http.Client }

// Supervised connects to the Switchyard that runs. The error is ErrNoSupervisor
// when there is none.
func (y *Yard) Supervised(ctx context.Context) (*Supervised, error) {
	conn, err := y.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return y.supervised(), nil
}

// supervised is the connection that Supervised makes, without trying it: the first
// question fails with ErrNoSupervisor.
func (y *Yard) supervised() *Supervised {
	return &Supervised{&http.Client{Transport: &http.Transport{
		Proxy: nil, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return y.dial(ctx) },
	}}}
}

// dial opens the socket of the Switchyard that runs. The error is ErrNoSupervisor.
func (y *Yard) dial(ctx context.Context) (net.Conn, error) {
	for _, dir := range []string{y.Paths.Runtime, y.Paths.State} {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketName)); err == nil {
			return conn, nil
		}
	}
	return nil, ErrNoSupervisor
}

func (s *Supervised) send(ctx context.Context, method, path string) (*http.Response, error) {
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

func (s *Supervised) ask(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	return s.askLong(ctx, method, path, into)
}

// askLong waits as long as the context allows.
func (s *Supervised) askLong(ctx context.Context, method, path string, into any) error {
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

// address is where the gateway listens and what it asks for.
type address struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Gateway is what the gateway does just now.
func (s *Supervised) Gateway(ctx context.Context) (Gateway, error) {
	var g Gateway
	err := s.ask(ctx, http.MethodGet, "/gateway", &g)
	return g, err
}

// Runner is how the runner is, with what only the supervisor knows of it.
func (s *Supervised) Runner(ctx context.Context) (Runner, error) {
	var r Runner
	err := s.ask(ctx, http.MethodGet, "/runner", &r)
	return r, err
}

// Pulls are the models on their way, and those that came lately.
func (s *Supervised) Pulls(ctx context.Context) ([]Pull, error) {
	var pulls []Pull
	err := s.ask(ctx, http.MethodGet, "/pulls", &pulls)
	return pulls, err
}

func (s *Supervised) address(ctx context.Context) (address, error) {
	var a address
	err := s.ask(ctx, http.MethodGet, "/address", &a)
	return a, err
}

// RotateToken makes the gateway ask for a new token; the settings follow.
func (s *Supervised) RotateToken(ctx context.Context) error {
	return s.ask(ctx, http.MethodPost, "/token", nil)
}

// Raise has the Switchyard that runs show that it does.
func (s *Supervised) Raise(ctx context.Context) error {
	return s.ask(ctx, http.MethodPost, "/raise", nil)
}

// relieve ends the guard that keeps the gateway up for a killed Switchyard, if
// there is one, and takes its listeners over.
func (y *Yard) relieve(ctx context.Context) (listeners []net.Listener, relieved bool) {
	conn, err := y.dial(ctx)
	if err != nil {
		return nil, false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(quick))
	if _, err := io.WriteString(conn, "POST /yield HTTP/1.1\r\nHost: switchyard\r\n\r\n"); err != nil {
		return nil, false
	}
	return takeOver(conn)
}

// Requests hands over what the gateway served, oldest first, and with follow
// what it serves from now on, until the context ends.
func (s *Supervised) Requests(ctx context.Context, follow bool, each func(gateway.Record) error) error {
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
