package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// transport dials the runner and nothing else.
type transport struct {
	g    *Gateway
	base *http.Transport
}

func newTransport(g *Gateway) *transport {
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	return &transport{g: g, base: &http.Transport{
		Proxy: nil, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if socket := g.opt.Upstream(ctx).Socket; socket != "" {
				return dialer.DialContext(ctx, "unix", socket)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}}
}

func (t *transport) close() { t.base.CloseIdleConnections() }

// address points a request to the runner.
func (t *transport) address(r *http.Request, path string) {
	u, err := url.Parse(t.g.opt.Upstream(r.Context()).URL)
	if err != nil || u.Host == "" {
		u = &url.URL{Scheme: "http", Host: "127.0.0.1:0"} // refused at once: no runner is known
	}
	r.URL = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/") + path}
	r.Host = u.Host
	if password, ok := u.User.Password(); ok { // the runner's own, from the configuration
		r.SetBasicAuth(u.User.Username(), password)
	}
}

// RoundTrip sends a request; when nothing answers and it is allowed, it brings
// the runner up and sends it again.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err == nil || !isDial(err) || t.g.opt.Revive == nil || r.Context().Err() != nil {
		return resp, err
	}
	if err := t.g.opt.Revive(r.Context()); err != nil {
		return nil, down(err.Error())
	}
	again := r.Clone(r.Context())
	t.address(again, r.URL.Path[strings.Index(r.URL.Path, "/anthropic/"):])
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return t.base.RoundTrip(again)
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// count asks the engine how many tokens a request's prompt has.
func (t *transport) count(ctx context.Context, body document.Rope) (int, error) {
	req, err := t.post(ctx, "/anthropic/v1/messages/count_tokens", body)
	if err != nil {
		return 0, err
	}
	var counted struct {
		Tokens int `json:"input_tokens"`
	}
	if err := t.ask(req, &counted); err != nil {
		return 0, err
	}
	return counted.Tokens, nil
}

// post makes a request of the gateway's own.
func (t *transport) post(ctx context.Context, path string, body document.Rope) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://runner/", body.Reader())
	if err != nil {
		return nil, err
	}
	req.GetBody = func() (io.ReadCloser, error) { return body.Reader(), nil }
	req.ContentLength = body.Size()
	req.Header.Set("Content-Type", "application/json")
	t.address(req, path)
	return req, nil
}

type listed struct {
	ID      string
	Created int64
}

// models asks the runner for its models.
func (t *transport) models(ctx context.Context) ([]listed, *failure) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/", nil)
	if err != nil {
		return nil, down(err.Error())
	}
	t.address(req, "/v1/models")
	var list struct{ Data []listed }
	if err := t.ask(req, &list); err != nil {
		return nil, unreachable(err)
	}
	return list.Data, nil
}

func (t *transport) ask(req *http.Request, into any) error {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(into)
}
