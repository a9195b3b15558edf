package gateway

import (
	"bytes"
	"io"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// joiner is how a [shape.Joiner] stands in an answer: engines do not escape it.
var joiner = []byte(shape.Joiner)

// unjoined takes the joiners out of an answer that broke control words in the request: a
// model that copies such a word into an edit would look for what no file has.
type unjoined struct {
	io.ReadCloser
	ready []byte // not read yet
	held  []byte // what may be the beginning of a joiner
	err   error
}

func (u *unjoined) Read(p []byte) (int, error) {
	for len(u.ready) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		n, err := u.ReadCloser.Read(p)
		text := bytes.ReplaceAll(append(u.held, p[:n]...), joiner, nil)
		keep := len(text)
		if err == nil {
			keep -= begun(text)
		}
		u.ready, u.held, u.err = text[:keep:keep], bytes.Clone(text[keep:]), err
	}
	n := copy(p, u.ready)
	u.ready = u.ready[n:]
	return n, nil
}

// begun is how many bytes at a text's end may be the beginning of a joiner.
func begun(text []byte) int {
	for n := len(joiner) - 1; n > 0; n-- {
		if bytes.HasSuffix(text, joiner[:n]) {
			return n
		}
	}
	return 0
}
