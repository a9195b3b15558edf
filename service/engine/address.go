package engine

import (
	"context"
	"io"
	"net/http"
	"time"
)

// addressEngine is a runner that a setting names, or that answers already: it is
// watched, not controlled.
type addressEngine struct {
	kind   Kind
	seen   Seen
	source string // what named it
}

func (a *addressEngine) Kind() Kind                                { return a.kind }
func (a *addressEngine) Place() string                             { return a.seen.place() }
func (a *addressEngine) Look(context.Context) Seen                 { return a.seen }
func (a *addressEngine) Watch(ctx context.Context, changed func()) { <-ctx.Done() }
func (a *addressEngine) Start(context.Context) error               { return a.notOurs() }
func (a *addressEngine) Stop(context.Context) error                { return a.notOurs() }
func (a *addressEngine) Restart(context.Context) error             { return a.notOurs() }

// Nowhere is the engine of a runner that cannot be looked for.
func Nowhere(problem *Error) Engine {
	return &addressEngine{kind: None, seen: Seen{State: Absent, Problem: problem}}
}

func (a *addressEngine) notOurs() error {
	if a.seen.Problem != nil {
		return a.seen.Problem
	}
	return &Error{Code: NotOurs, Why: "Switchyard did not start the Model Runner at " + a.seen.place() + " (named by " + a.source + ")",
		Remedy: "start and stop it where it was started"}
}

// place is the address in words.
func (s Seen) place() string {
	if s.Socket != "" {
		return s.Socket
	}
	return s.URL
}

// Logs asks the runner itself, which knows its log since v1.1.36.
func (a *addressEngine) Logs(ctx context.Context, to io.Writer, _ int, follow bool) error {
	path := "/logs"
	if follow {
		path += "?follow=true"
	}
	return fetchLogs(ctx, a.seen, path, to)
}

func fetchLogs(ctx context.Context, from Seen, path string, to io.Writer) error {
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DialContext: dialer(from.Socket), ResponseHeaderTimeout: 10 * time.Second}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.URL+path, nil)
	if err != nil {
		return &Error{Code: Failed, Why: "the address " + from.URL + " cannot be used", Remedy: "correct it", Err: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return &Error{Code: Failed, Why: "Model Runner at " + from.place() + " cannot be asked for its log", Remedy: "start it", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &Error{Code: Failed, Why: "this Model Runner does not serve its log (" + resp.Status + ")", Remedy: "look at it where the runner was started; versions from 1.1.36 on serve it"}
	}
	if _, err := io.Copy(to, resp.Body); err != nil && ctx.Err() == nil {
		return &Error{Code: Failed, Why: "the log was cut short", Remedy: "ask again", Err: err}
	}
	return nil
}
