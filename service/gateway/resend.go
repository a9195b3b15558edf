package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// maxLessons is how often one request is sent again because a refusal taught something.
const maxLessons = 3

// maxError bounds what is read of an error.
const maxError = 64 << 10

// resending is what an exchange knows of refusals: a model's needs that it tries to meet.
type resending struct {
	needs   shape.Needs    // that the request is written for
	trying  []shape.Lesson // that are not known of the model yet
	tried   []shape.Lesson
	refusal string // the last
	again   bool   // the request has to be sent once more
	lost    bool   // it was sent once more because the answer had got lost
}

// errResend ends an answer that is not passed on.
var errResend = errors.New("once more, written otherwise")

// send sends the request, and again as long as refusals teach how it has to be written.
func (x *exchange) send(ctx context.Context) *failure {
	for {
		x.forward(ctx)
		if !x.again {
			return nil
		}
		x.again = false
		if f := x.prepare(); f != nil {
			return f
		}
	}
}

// prepare writes the request as the model needs it.
func (x *exchange) prepare() *failure {
	x.needs = x.g.needs(x.model)
	for _, l := range x.trying {
		x.needs = x.needs.With(l)
	}
	shaped, err := x.req.For(shape.Model{Tag: x.model.Tag, Needs: x.needs})
	if err != nil {
		return malformed(err)
	}
	x.body, x.prefill, x.record.Notes = shaped.Body, shaped.Prefill, shaped.Notes
	return nil
}

func (x *exchange) forward(ctx context.Context) {
	defer func() {
		// The proxy ends a handler so when the client has gone in the midst.
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	x.g.proxy.ServeHTTP(x.answer, x.in.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
}

// refused translates an error of the runner's, or has the request sent once more.
func (x *exchange) refused(resp *http.Response, retry string) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	_ = resp.Body.Close()
	if !x.lost && (resp.StatusCode == http.StatusInternalServerError || resp.StatusCode == http.StatusBadGateway) && len(bytes.TrimSpace(body)) == 0 {
		// Model Runner says so when the engine has just closed the connection that it kept
		// (docker/model-runner 1.2.6, scheduling/runner.go): nothing was answered yet.
		x.lost, x.again = true, true
		return errResend
	}
	f := x.judge(resp.StatusCode, body)
	if x.again = x.tries(f); x.again {
		return errResend
	}
	if seconds, err := strconv.Atoi(retry); err == nil && f.retry == 0 && f.status >= 500 {
		f.retry = time.Duration(seconds) * time.Second
	}
	x.replace(resp, f)
	return nil
}

// tries takes the next lesson of a refusal, if there is one. A lesson after which the engine
// says the same again was none.
func (x *exchange) tries(f *failure) bool {
	if n := len(x.trying); n > 0 && x.refusal == f.message {
		x.trying = x.trying[:n-1]
	}
	x.refusal = f.message
	if len(x.tried) == maxLessons {
		return false
	}
	known := x.g.needs(x.model)
	for _, l := range f.lessons {
		if !known.Has(l) && !slices.Contains(x.tried, l) {
			x.trying, x.tried = append(x.trying, l), append(x.tried, l)
			return true
		}
	}
	return false
}

// learn remembers the lessons that made the engine take the request.
func (x *exchange) learn() {
	for _, l := range x.trying {
		x.g.learnNeed(x.model.Tag, l)
	}
	x.trying = nil
}
