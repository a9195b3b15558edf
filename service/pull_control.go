package service

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Pull begins a pull, or joins the one that runs, and returns what it hears of it,
// always the newest, until it is over. The error is an *Error.
func (s *Supervisor) Pull(ctx context.Context, ref string) (<-chan Pull, error) {
	if err := s.yard.mayPull(ref); err != nil {
		return nil, err
	}
	if s.door.Load() == nil {
		return nil, &Error{Kind: Failed, What: "pulling " + ref, Why: "Switchyard's gateway does not run", Remedy: "see the menu's first line"}
	}
	return s.puller.ask(ctx, ref), ctx.Err()
}

// ask begins a pull, or joins the one that runs.
func (p *puller) ask(ctx context.Context, ref string) <-chan Pull {
	heard := make(chan Pull, 1)
	p.post(ctx, func() {
		one := p.enqueue(ref)
		one.heard = append(one.heard, heard)
	})
	return heard
}

// mayPull refuses when nothing may go out.
func (y *Yard) mayPull(ref string) error {
	for _, t := range y.Targets() {
		if now, err := y.ledger.Inspect(t); err == nil && now.Route == claude.Offline {
			return &Error{Kind: Refused, What: "pulling " + ref, Why: "the route is offline", Remedy: "go online first: switchyard local, or switchyard cloud"}
		}
	}
	return nil
}

// endAll ends our pulls when the route becomes offline.
func (p *puller) endAll(ctx context.Context) {
	p.post(ctx, func() {
		for _, one := range p.pulls {
			switch {
			case one.State.over() || one.Others:
			case one.cancel != nil:
				one.cancel()
			default:
				one.State, one.ended = Cancelled, time.Now()
			}
		}
		p.keep()
	})
}

// Pull pulls a model: the Switchyard that runs does it, so that it is resumed and
// shown; without one it is done here. each hears of every step.
func (y *Yard) Pull(ctx context.Context, ref string, each func(Pull)) (Pull, error) {
	what := "pulling " + ref
	if running, err := y.Supervised(ctx); err == nil {
		return running.pull(ctx, ref, each)
	}
	if err := y.mayPull(ref); err != nil {
		return Pull{}, err
	}
	f, err := y.find(ctx)
	if err != nil {
		return Pull{}, err
	}
	if f, err = y.bringUp(ctx, f, Progress{}); err != nil {
		return Pull{}, commandError(what, err)
	}
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	if err := room(ctx, client, ref, 0, f.seen.Store); err != nil {
		return Pull{}, commandError(what, err)
	}
	one := &pulling{Pull: Pull{Ref: ref, State: Pulling}}
	if err := client.Pull(ctx, ref, func(now runner.Progress) {
		one.progress(now)
		each(one.Pull)
	}); err != nil {
		return one.Pull, commandError(what, err)
	}
	one.State = Pulled
	if m, err := client.Model(ctx, runner.Full(ref)); err == nil {
		one.Size, one.Context = m.Size, m.Context
	}
	return one.Pull, nil
}

// pull has the Switchyard that runs pull. Ending the context ends the pull.
func (s *Supervised) pull(ctx context.Context, ref string, each func(Pull)) (last Pull, err error) {
	what := "pulling " + ref
	query := "?ref=" + url.QueryEscape(ref)
	defer func() {
		if ctx.Err() == nil {
			return
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
		defer cancel()
		_ = s.ask(ending, http.MethodDelete, "/pull"+query, nil)
		err = &Error{Kind: Failed, What: what, Why: "it was cancelled", Remedy: "pull it again: it goes on where it ended", Err: ctx.Err()}
	}()
	resp, err := s.send(ctx, http.MethodPost, "/pull"+query)
	if err != nil {
		return last, &Error{Kind: Refused, What: what, Why: strings.TrimSpace(err.Error()), Remedy: "see switchyard status", Err: err}
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); !last.State.over(); each(last) {
		if err := dec.Decode(&last); err != nil {
			return last, &Error{Kind: Failed, What: what, Why: "Switchyard ended", Remedy: "start it again: switchyard; it goes on with the pull", Err: err}
		}
	}
	if last.State != Pulled {
		return last, &Error{Kind: Failed, What: what, Why: cmp.Or(last.Why, "it was cancelled"), Remedy: cmp.Or(last.Remedy, "pull it again: it goes on where it ended")}
	}
	return last, nil
}

// PullAndTell begins a pull; how it ends is in the State.
func (s *Supervisor) PullAndTell(ctx context.Context, ref string) {
	if _, err := s.Pull(ctx, ref); err != nil && ctx.Err() == nil {
		s.failed(ctx, words.T("Could not pull %s", ref), err)
	}
}

// CancelPull ends a pull; what was loaded is kept for the next one.
func (s *Supervisor) CancelPull(ctx context.Context, ref string) { s.puller.cancel(ctx, ref) }

func (p *puller) cancel(ctx context.Context, ref string) {
	p.post(ctx, func() {
		for _, one := range p.pulls {
			if one.Ref != ref || one.State.over() || one.Others {
				continue
			}
			if one.cancel != nil {
				one.cancel()
			} else {
				one.State, one.ended = Cancelled, time.Now()
				p.keep()
			}
		}
	})
}
