package gateway

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/document"
	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// loads are the models' loads that requests wait for. Model Runner ends a load when the
// request leaves that began it, also while others wait: so it is the gateway that begins
// one, and ends it when nobody waits any more.
type loads struct {
	t    *transport
	mu   sync.Mutex
	all  map[string]*load     // in progress, by model
	warm map[string]time.Time // when a model last answered
}

// load is one model's load in progress.
type load struct {
	waiting int
	cancel  context.CancelFunc
	done    chan struct{}
	fault   *failure // after done: why the model cannot be loaded; nil also when only its next request will tell
}

const (
	// warmFor is how long a model that answered is taken for loaded. To ask in vain
	// costs a round trip on this machine.
	warmFor = time.Minute
	// longestLoad is more than Model Runner's own five minutes.
	longestLoad = 10 * time.Minute
)

func newLoads(t *transport) *loads {
	return &loads{t: t, all: map[string]*load{}, warm: map[string]time.Time{}}
}

// answered notes that a model's engine is at work.
func (l *loads) answered(model string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warm[model] = time.Now()
}

// failed notes why a model's request failed: its engine may be gone.
func (l *loads) failed(model string, why Reason) {
	if !why.Effect().Sick && why != verdict.Loading && why != verdict.OutOfMemory {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.warm, model)
}

// hold is a request's part in a load.
type hold struct {
	l     *loads
	model Model
	load  *load // nil: the model is loaded
	once  sync.Once
}

// join begins the load of a model that may not be loaded, or takes part in the one in
// progress. Leave it.
func (l *loads) join(model Model) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &hold{l: l, model: model}
	if time.Since(l.warm[model.Tag]) < warmFor {
		return h
	}
	if h.load = l.all[model.Tag]; h.load == nil {
		ctx, cancel := context.WithTimeout(context.Background(), longestLoad)
		h.load = &load{cancel: cancel, done: make(chan struct{})}
		l.all[model.Tag] = h.load
		go l.run(ctx, h.load, model)
	}
	h.load.waiting++
	return h
}

// cold reports whether the model may have to be loaded.
func (h *hold) cold() bool { return h.load != nil }

// wait waits for the load.
func (h *hold) wait(ctx context.Context) *failure {
	if h.load == nil {
		return nil
	}
	select {
	case <-h.load.done:
		return h.load.fault
	case <-ctx.Done():
		return gone()
	}
}

// leave ends a request's part; the last one that leaves ends the load.
func (h *hold) leave() {
	if h.load == nil {
		return
	}
	h.once.Do(func() {
		h.l.mu.Lock()
		defer h.l.mu.Unlock()
		if h.load.waiting--; h.load.waiting == 0 {
			h.load.cancel()
			if h.l.all[h.model.Tag] == h.load { // a request that comes now begins another
				delete(h.l.all, h.model.Tag)
			}
		}
	})
}

// run loads a model.
func (l *loads) run(ctx context.Context, one *load, model Model) {
	defer one.cancel()
	fault, loaded := l.t.load(ctx, model)
	l.mu.Lock()
	defer l.mu.Unlock()
	one.fault = fault
	if loaded {
		l.warm[model.Tag] = time.Now()
	}
	if l.all[model.Tag] == one {
		delete(l.all, model.Tag)
	}
	close(one.done)
}

// load has Model Runner load a model, and returns when it is loaded, or why it cannot be.
// What else a runner says to this, one that is not Docker's for instance, means nothing.
func (t *transport) load(ctx context.Context, model Model) (fault *failure, loaded bool) {
	var body document.Rope
	body.Text(`{"model":`)
	body.Raw(document.Quote(model.Tag))
	body.Text(`}`)
	req, err := t.post(ctx, "/anthropic/v1/messages", body)
	if err != nil {
		return down(err.Error()), false
	}
	req.Header.Set("X-Preload-Only", "true")
	begun := time.Now()
	resp, err := t.RoundTrip(req)
	if err != nil {
		if f := unreachable(err); f.reason == RunnerDown {
			return f, false
		}
		return nil, false
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if resp.StatusCode == http.StatusOK {
		return nil, true
	}
	const long = 4 * time.Minute // the request itself would only take as long again
	f := translate(resp.StatusCode, said, model)
	switch {
	case f.reason == verdict.OutOfMemory, f.reason == verdict.ModelUnknown, f.reason == verdict.ModelDamaged,
		f.reason == EngineFailed && len(said) > 0, f.reason == verdict.Loading && time.Since(begun) > long:
		return f, false
	}
	return nil, false
}
