package control

import (
	"cmp"
	"context"
	"errors"
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

// Client is a connection to the running Switchyard, over its socket.
type Client struct{ client *http.Client }

// Find connects to the running Switchyard. The error is ErrNotRunning when there is none.
func Find(ctx context.Context, m *machine.Machine) (*Client, error) {
	conn, err := Dial(ctx, m)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return Connect(m), nil
}

// Connect is the connection that Find makes, without trying it: the first question
// fails with ErrNotRunning.
func Connect(m *machine.Machine) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		Proxy: nil, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, m) },
	}}}
}

// Dial opens the socket of the running Switchyard. The error is
// ErrNotRunning.
func Dial(ctx context.Context, m *machine.Machine) (net.Conn, error) {
	for _, dir := range m.Paths.RuntimeDirs() {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketName)); err == nil {
			return conn, nil
		}
	}
	return nil, ErrNotRunning
}

func (c *Client) send(ctx context.Context, method, path string, values url.Values) (*http.Response, error) {
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://switchyard"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
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

// Gateway is what the gateway does just now.
func (c *Client) Gateway(ctx context.Context) (state.Gateway, error) {
	return askGateway.quick(ctx, c, nil)
}

// Runner is how the runner is, with what only the supervisor knows of it.
func (c *Client) Runner(ctx context.Context) (state.Runner, error) {
	return askRunner.quick(ctx, c, nil)
}

// Pulls are the models on their way, and those that came lately.
func (c *Client) Pulls(ctx context.Context) ([]state.Pull, error) { return askPulls.quick(ctx, c, nil) }

// Address is where the gateway listens. A guard is there when it returns: whoever asks
// is about to write the address into settings.
func (c *Client) Address(ctx context.Context) (Address, error) { return askAddress.quick(ctx, c, nil) }

// Session is what a session needs to know that is about to start on a model.
func (c *Client) Session(ctx context.Context, model string) (SessionAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, SessionTime+localrunner.Quick)
	defer cancel()
	return askSession.ask(ctx, c, url.Values{"model": {model}})
}

// RotateToken makes the gateway ask for a new token; the settings follow.
func (c *Client) RotateToken(ctx context.Context) error {
	_, err := doRotate.quick(ctx, c, nil)
	return err
}

// Raise has the running Switchyard show itself.
func (c *Client) Raise(ctx context.Context) error {
	_, err := doRaise.quick(ctx, c, nil)
	return err
}

// Quit ends the running Switchyard; its guard may take its place.
func (c *Client) Quit(ctx context.Context) error {
	_, err := doQuit.quick(ctx, c, nil)
	return err
}

// Watched tells the running Switchyard that a session's audit line is written elsewhere.
func (c *Client) Watched(ctx context.Context, session string) error {
	_, err := doWatch.quick(ctx, c, url.Values{"session": {session}})
	return err
}

// Requests hands over what the gateway served, oldest first, and with follow
// what it serves from now on, until the context ends.
func (c *Client) Requests(ctx context.Context, follow bool, each func(gateway.Record) error) error {
	values := url.Values{}
	if follow {
		values.Set("follow", "1")
	}
	return tellRequests.read(ctx, c, values, each)
}

// Control starts, stops or restarts the runner, and returns when that is done. The
// error is a *fault.Error.
func (c *Client) Control(ctx context.Context, verb localrunner.Verb) error {
	ctx, cancel := context.WithTimeout(ctx, localrunner.EffortTime+localrunner.Quick)
	defer cancel()
	answer, err := doControl(verb).ask(ctx, c, nil)
	if err != nil {
		return &fault.Error{Kind: fault.Failed, What: verb.Task(), Why: err.Error(), Remedy: "try again", Err: err}
	}
	if answer.Failed {
		return &fault.Error{Kind: answer.Kind, What: answer.What, Why: answer.Why, Remedy: answer.Remedy}
	}
	return nil
}

// errOver ends the reading of a pull that is over.
var errOver = errors.New("the pull is over")

// Pull has the running Switchyard pull a model, and hands each step over. Ending the
// context ends the pull. The error is a *fault.Error.
func (c *Client) Pull(ctx context.Context, ref string, each func(state.Pull)) (last state.Pull, err error) {
	what, values := "pulling "+ref, url.Values{"ref": {ref}}
	begun := false
	err = tellPull.read(ctx, c, values, func(p state.Pull) error {
		begun, last = true, p
		each(p)
		if p.State.Over() {
			return errOver
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), localrunner.Quick)
		defer cancel()
		_, _ = endPull.ask(ending, c, values)
		return last, &fault.Error{Kind: fault.Failed, What: what, Why: "it was cancelled", Remedy: "pull it again: it continues where it stopped", Err: ctx.Err()}
	case !errors.Is(err, errOver) && begun:
		return last, &fault.Error{Kind: fault.Failed, What: what, Why: "Switchyard ended", Remedy: "start it again: switchyard; it continues the pull", Err: err}
	case !errors.Is(err, errOver):
		return last, &fault.Error{Kind: fault.Refused, What: what, Why: strings.TrimSpace(cmp.Or(err, errors.New("it ended")).Error()), Remedy: "see switchyard status", Err: err}
	case last.State != state.PullDone:
		return last, &fault.Error{Kind: fault.Failed, What: what, Why: cmp.Or(last.Why, "it was cancelled"), Remedy: cmp.Or(last.Remedy, "pull it again: it continues where it stopped")}
	}
	return last, nil
}
