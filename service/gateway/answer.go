package gateway

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

const (
	// patience is how long a stream stays uncommitted: an error in that time is an
	// HTTP status, a later one an event in the stream.
	patience = 10 * time.Second
	// quiet is how long a stream may be silent before a ping. Claude Code gives
	// up after 300 s.
	quiet = 10 * time.Second
	// stuck is how long a client may take to accept what is written; a suspended one holds a place so long.
	stuck = 2 * time.Minute
)

const ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"

// answer is the ResponseWriter of one request. A stream that is silent while the
// request waits, or while the engine reads the prompt, is kept alive by pings.
type answer struct {
	stuck  time.Duration // how long the client may take to accept what is written
	w      http.ResponseWriter
	rc     *http.ResponseController
	header http.Header

	mu        sync.Mutex
	timer     *time.Timer // nil for an answer that is not streamed
	committed bool        // a ping has sent status 200 and the headers of a stream
	started   bool        // the real answer has begun
	asEvent   bool        // it is an error, and too late for its status
	between   bool        // the last bytes ended an event: a ping may follow
	closed    bool
	failed    error // of the connection
}

func newAnswer(w http.ResponseWriter, stream bool, stuck time.Duration) *answer {
	a := &answer{stuck: stuck, w: w, rc: http.NewResponseController(w), header: http.Header{}, between: true}
	if stream {
		a.mu.Lock()
		a.timer = time.AfterFunc(patience, a.ping)
		a.mu.Unlock()
	}
	return a
}

// ping writes a ping where one may stand, and comes again.
func (a *answer) ping() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.failed != nil || a.asEvent || a.timer == nil {
		return
	}
	if !a.started && !a.committed {
		a.committed = true
		h := a.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		a.w.WriteHeader(http.StatusOK)
	}
	if a.between {
		a.put([]byte(ping))
		a.flush()
	}
	a.timer.Reset(quiet)
}

func (a *answer) put(p []byte) {
	if a.failed != nil {
		return
	}
	_ = a.rc.SetWriteDeadline(time.Now().Add(a.stuck)) // a writer without deadlines has no client that could hang
	_, a.failed = a.w.Write(p)
}

func (a *answer) flush() {
	if a.failed == nil {
		a.failed = a.rc.Flush()
	}
}

// Header is the real answer's header.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader begins the real answer.
func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.started || status < 200 {
		return
	}
	a.started = true
	if status != http.StatusOK && a.timer != nil {
		a.timer.Stop()
	}
	if a.committed {
		a.asEvent = status != http.StatusOK
		if a.asEvent {
			a.put([]byte("event: error\ndata: "))
		}
		return
	}
	h := a.w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	a.w.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(p)
	if a.failed != nil {
		return 0, a.failed
	}
	if a.timer != nil && !a.asEvent {
		a.between = bytes.HasSuffix(p, []byte("\n\n"))
		a.timer.Reset(quiet)
	}
	return len(p), nil
}

// FlushError is what http.ResponseController looks for.
func (a *answer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flush()
	return a.failed
}

// fail answers with an error, as a status while that is possible.
func (a *answer) fail(f *failure) {
	f.header(a.Header())
	a.WriteHeader(f.status)
	_, _ = a.Write(f.body())
}

// close ends the answer: no ping comes after it.
func (a *answer) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	if a.asEvent {
		a.put([]byte("\n\n"))
		a.flush()
	}
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
