package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/document"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// exchange is one request on its way to the runner and back.
type exchange struct {
	g       *Gateway
	in      *http.Request
	req     *shape.Request
	model   Model
	path    string // of the runner's API
	body    document.Rope
	prefill string // what the answer goes on from
	answer  *answer
	record  Record
	side    bool
	start   time.Time
	first   time.Time
	usage   usage
	fault   *failure // why it failed; nil when it did not
	resending
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

func sameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func (g *Gateway) messages(w http.ResponseWriter, r *http.Request) { g.exchange(w, r, true) }

func (g *Gateway) countTokens(w http.ResponseWriter, r *http.Request) { g.exchange(w, r, false) }

// exchange handles a request that names a model; turns wait for each other and
// are recorded, counting is neither.
func (g *Gateway) exchange(w http.ResponseWriter, r *http.Request, isTurn bool) {
	x := &exchange{g: g, in: r, start: time.Now(), path: "/anthropic/v1/messages"}
	if !isTurn {
		x.path += "/count_tokens"
	}
	body, release, f := g.readBody(w, r)
	if f != nil {
		f.write(w)
		return
	}
	defer release()
	req, err := shape.Parse(body)
	if err != nil {
		malformed(err).write(w)
		return
	}
	x.req = req
	x.model = g.opt.Model(r.Context(), req.Model)
	x.answer = newAnswer(w, req.Stream && isTurn, g.stuck)
	defer x.answer.close()
	x.identify()
	if isTurn {
		g.sessions.begin(&x.record, x.side)
		g.changed()
		defer func() {
			x.finish()
			g.changed()
		}()
	}
	if f := x.run(isTurn); f != nil {
		x.fault = f
		x.answer.fail(f)
	}
}

// identify notes whose request it is.
func (x *exchange) identify() {
	header := x.in.Header
	x.record = Record{
		Time: x.start, Model: x.model.Tag, Context: x.model.Context,
		SessionID: name(cmp.Or(header.Get("X-Claude-Code-Session-Id"), x.req.SessionID)),
		AgentID:   name(header.Get("X-Claude-Code-Agent-Id")),
	}
	if Purpose(header.Get(PurposeHeader)) == Proof {
		x.record.Purpose, x.record.SessionID, x.record.AgentID = Proof, "", ""
	}
	x.side = x.record.AgentID != "" || !x.req.HasTools
}

// name bounds what a client calls itself.
func name(s string) string {
	const longest = 128
	return s[:min(len(s), longest)]
}

// run sends the request on its way; an error is for the client.
func (x *exchange) run(isTurn bool) *failure {
	ctx := x.in.Context()
	if x.model.Tag == "" || x.model.Missing {
		return missing(short(x.model.Tag))
	}
	if f := x.prepare(); f != nil {
		return f
	}
	loading := x.g.loads.join(x.model)
	defer loading.leave()
	if isTurn {
		if !loading.cold() {
			if f := x.overflows(ctx); f != nil {
				return f
			}
		}
		leave, f := x.enter(ctx)
		if f != nil {
			return f
		}
		defer leave()
	}
	if f := loading.wait(ctx); f != nil {
		return f
	}
	if loading.cold() {
		if f := x.reread(ctx, isTurn); f != nil {
			return f
		}
	}
	return x.send(ctx)
}

// reread writes the request again, now that the model is loaded: of one whose runner was down
// nothing was known.
func (x *exchange) reread(ctx context.Context, isTurn bool) *failure {
	if m := x.g.opt.Model(ctx, x.req.Model); m.Tag == x.model.Tag {
		x.model, x.record.Context = m, m.Context
	}
	if f := x.prepare(); f != nil {
		return f
	}
	if isTurn {
		return x.overflows(ctx)
	}
	return nil
}

// enter waits for the request's turn. leave must be called when there is no failure.
func (x *exchange) enter(ctx context.Context) (leave func(), f *failure) {
	g, entered := x.g, time.Now()
	left, err := g.queue(x.model.Tag).enter(ctx, x.record.SessionID, x.side, g.parallel(x.model))
	x.record.Queued = time.Since(entered).Milliseconds()
	switch {
	case errors.Is(err, errQueueFull):
		return nil, &failure{status: 529, kind: "overloaded_error", reason: QueueFull, retry: 10 * time.Second,
			message: fmt.Sprintf("%d requests are already waiting for %s: end a session, or use smaller subagents", maxWaiting, short(x.model.Tag))}
	case err != nil:
		return nil, gone()
	}
	g.changed()
	return func() {
		left()
		g.changed()
	}, nil
}

// overflows asks the engine to count the prompt when it could be too long.
func (x *exchange) overflows(ctx context.Context) *failure {
	limit := x.model.Context
	if limit == 0 || x.g.tokensAtMost(x.model.Tag, x.body.Size()) < limit {
		return nil
	}
	count, err := x.g.transport.count(ctx, x.body)
	if err != nil || count <= limit {
		return nil // an upstream that cannot count says so again when the request itself comes
	}
	return overflow(count, limit)
}

// rewrite makes the runner's request: nothing of the client's but the body's
// meaning goes there, no credentials above all.
func (x *exchange) rewrite(out *http.Request) {
	header := http.Header{"Content-Type": {"application/json"}}
	if accept := x.in.Header.Get("Accept"); accept != "" {
		header.Set("Accept", accept)
	}
	header.Set("User-Agent", "switchyard")
	out.Header = header
	x.g.transport.address(out, x.path)
	out.Body, out.ContentLength = x.body.Reader(), x.body.Size()
	out.GetBody = func() (io.ReadCloser, error) { return x.body.Reader(), nil }
	out.TransferEncoding = nil
}

// answered looks at the runner's answer before anything of it is passed on.
func (x *exchange) answered(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	retry := resp.Header.Get("Retry-After")
	resp.Header = http.Header{} // nothing of the runner's own goes through, CORS above all
	if slices.Contains(x.record.Notes, shape.ControlWords) {
		resp.Body = &unjoined{ReadCloser: resp.Body}
	}
	if resp.StatusCode != http.StatusOK {
		return x.refused(resp, retry)
	}
	x.g.loads.answered(x.model.Tag)
	x.learn()
	switch {
	case strings.HasPrefix(kind, "text/event-stream"):
		x.stream(resp, kind)
	default:
		x.whole(resp)
	}
	return nil
}

// stream passes a streamed answer on through the filter.
func (x *exchange) stream(resp *http.Response, kind string) {
	stream := newEvents(resp.Body, x.req.Model, x.judge)
	stream.first = func() { x.first = time.Now() }
	stream.gone = func() bool { return x.in.Context().Err() != nil }
	stream.end = func(f *failure) { x.fault, x.usage, x.record.Cut = f, stream.usage, stream.cut }
	resp.Body = stream
	resp.Header.Set("Content-Type", kind)
	resp.Header.Set("Cache-Control", "no-cache")
	resp.ContentLength = -1
}

// whole checks and repairs an answer that is not streamed.
func (x *exchange) whole(resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	_ = resp.Body.Close()
	if err != nil {
		x.replace(resp, broken("the connection to Docker Model Runner was lost"))
		return
	}
	if strings.HasSuffix(x.path, "count_tokens") {
		x.replaceBody(resp, body)
		return
	}
	if x.req.Stream {
		x.replace(resp, broken("it is not a stream; what answers may not be Docker Model Runner"))
		return
	}
	out, said, cut, err := answerJSON(body, x.req.Model, x.prefill)
	if err != nil {
		x.replace(resp, broken(err.Error()+"; what answers may not be Docker Model Runner"))
		return
	}
	x.first, x.usage, x.record.Cut = time.Now(), said, cut
	x.replaceBody(resp, out)
}

func (x *exchange) replaceBody(resp *http.Response, body []byte) {
	resp.Header.Set("Content-Type", "application/json")
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.ContentLength = int64(len(body))
	resp.Body = io.NopCloser(bytes.NewReader(body))
}

func (x *exchange) replace(resp *http.Response, f *failure) {
	x.fault = f
	resp.StatusCode = f.status
	x.replaceBody(resp, f.body())
	f.header(resp.Header)
}

// failed handles a request that got no answer.
func (x *exchange) failed(err error) {
	switch {
	case errors.Is(err, errResend):
	case x.in.Context().Err() != nil:
		x.fault = gone()
	default:
		x.fault = unreachable(err)
		x.answer.fail(x.fault)
	}
}

// telling is how long an answer must take for its speed to mean something.
const telling = 10 * time.Millisecond

// finish records the request.
func (x *exchange) finish() {
	r := &x.record
	end := time.Now()
	r.Duration = end.Sub(x.start).Milliseconds()
	r.Status = http.StatusOK
	if x.in.Context().Err() != nil && x.fault == nil && x.usage.Output == 0 {
		x.fault = gone()
	}
	if x.fault != nil {
		r.Status, r.Error = x.fault.status, x.fault.reason
	}
	r.CachedTokens, r.OutputTokens = x.usage.Cached, x.usage.Output
	r.InputTokens = x.usage.Input + x.usage.Cached
	if !x.first.IsZero() {
		r.TTFT = x.first.Sub(x.start).Milliseconds()
		if took := end.Sub(x.first); took >= telling && x.req.Stream {
			r.TokensPerS = round(float64(r.OutputTokens) / took.Seconds())
		}
	}
	if r.Context > 0 {
		r.ContextUsedPct = round(100 * float64(r.InputTokens+r.OutputTokens) / float64(r.Context))
	}
	r.Bytes = x.body.Size()
	x.g.learn(r.Model, x.body.Size(), r.InputTokens)
	if x.fault != nil {
		x.g.loads.failed(r.Model, r.Error)
	} else if !x.first.IsZero() {
		x.g.loads.answered(r.Model)
	}
	if x.model.Missing {
		r.Model = "" // any client could invent names without end
	}
	if r.Purpose == "" {
		x.g.sessions.end(r, x.side)
		x.g.metrics.observe(r)
	}
	x.g.ring.add(*r)
	if x.g.opt.Served != nil {
		x.g.opt.Served(r.Model, r.Error)
	}
}

// round keeps one decimal.
func round(v float64) float64 { return float64(int64(v*10+0.5)) / 10 }
