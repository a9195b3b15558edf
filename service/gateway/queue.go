package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errQueueFull says that too many requests wait already.
var errQueueFull = errors.New("the queue is full")

// turn is a request that waits for the model.
type turn struct {
	session string
	side    bool // a subagent's or a title job: after the session's own turns
	since   time.Time
	ready   chan struct{}
}

// queue lets a bounded number of requests through at a time, for one model. First
// come, first served, but the session that was served longest ago goes first,
// and within a session its main turns do.
type queue struct {
	mu      sync.Mutex
	limit   int // at a time
	bound   int // waiting at most
	running map[string]int
	count   int
	waiting []*turn
	served  map[string]int // the number of the session's last turn
	turns   int
}

func newQueue(bound int) *queue {
	return &queue{bound: bound, running: map[string]int{}, served: map[string]int{}}
}

// enter waits for a turn; limit is how many may run at a time from now on. leave
// must be called when err is nil.
func (q *queue) enter(ctx context.Context, session string, side bool, limit int) (leave func(), err error) {
	t := &turn{session: session, side: side, since: time.Now(), ready: make(chan struct{})}
	q.mu.Lock()
	q.limit = limit
	if q.count >= q.limit && len(q.waiting) >= q.bound {
		q.mu.Unlock()
		return nil, errQueueFull
	}
	q.waiting = append(q.waiting, t)
	q.admit()
	q.mu.Unlock()
	leave = sync.OnceFunc(func() { q.leave(session) })
	select {
	case <-t.ready:
		return leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, t)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 { // its turn came in the same moment
		leave()
	}
	return nil, ctx.Err()
}

func (q *queue) leave(session string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count--
	if q.running[session]--; q.running[session] == 0 {
		delete(q.running, session)
	}
	q.admit()
	q.forget()
}

// admit lets in as many as there is room for.
func (q *queue) admit() {
	for q.count < q.limit && len(q.waiting) > 0 {
		i := q.next()
		t := q.waiting[i]
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.count++
		q.running[t.session]++
		q.turns++
		q.served[t.session] = q.turns
		close(t.ready)
	}
}

// next is the place of the turn to come: of the session with the fewest running
// requests, then of the one served longest ago, its main turns first.
func (q *queue) next() int {
	best := 0
	for i, t := range q.waiting[1:] {
		if q.before(t, q.waiting[best]) {
			best = i + 1
		}
	}
	return best
}

func (q *queue) before(a, b *turn) bool {
	if a.session == b.session {
		return !a.side && b.side
	}
	if x, y := q.running[a.session], q.running[b.session]; x != y {
		return x < y
	}
	return q.served[a.session] < q.served[b.session]
}

// forget drops what is known about sessions that are gone.
func (q *queue) forget() {
	const remembered = 256
	if len(q.served) <= remembered {
		return
	}
	for session, n := range q.served {
		if n < q.turns-remembered && q.running[session] == 0 {
			delete(q.served, session)
		}
	}
}

// load counts the requests that run and wait; the caller names the model.
func (q *queue) load() Load {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := Load{Running: q.count, Waiting: len(q.waiting), Slots: q.limit}
	for _, t := range q.waiting {
		if l.Oldest.IsZero() || t.since.Before(l.Oldest) {
			l.Oldest = t.since
		}
	}
	return l
}
