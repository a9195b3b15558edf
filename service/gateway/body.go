package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/switchyard-app/switchyard/service/gateway/verdict"
)

// slow is how long a client may pause while it sends a body.
const slow = 30 * time.Second

// readBody reads a request's body, within what the gateway may hold of all bodies together.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), f *failure) {
	if packed := r.Header.Get("Content-Encoding"); packed != "" && packed != "identity" {
		return nil, nil, &failure{status: http.StatusUnsupportedMediaType, kind: "invalid_request_error", reason: Malformed,
			message: "the request is compressed (" + name(packed) + "): Switchyard's gateway takes it as it is"}
	}
	tooLarge := fail(verdict.TooLarge, fmt.Sprintf("the request is larger than %d MB", maxBody>>20))
	if r.ContentLength > maxBody {
		return nil, nil, tooLarge
	}
	size := r.ContentLength
	if size < 0 {
		size = maxBody
	}
	if err := g.bodies.Acquire(r.Context(), size); err != nil {
		return nil, nil, gone()
	}
	release = func() { g.bodies.Release(size) }
	rc := http.NewResponseController(w)
	in := &progress{http.MaxBytesReader(w, r.Body, maxBody), rc}
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(in, body)
	} else {
		body, err = io.ReadAll(in)
	}
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		f = tooLarge
	case err != nil:
		f = fail(Malformed, "the request's body did not arrive")
	}
	if f != nil {
		release()
		return nil, nil, f
	}
	_ = rc.SetReadDeadline(time.Time{}) // or the watch for the client's end would time out
	return body, release, nil
}

// progress allows a reader a pause of limited length, not a limited time.
type progress struct {
	r  io.Reader
	rc *http.ResponseController
}

func (p *progress) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(slow))
	return p.r.Read(b)
}
