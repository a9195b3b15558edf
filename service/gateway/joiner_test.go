package gateway

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// A model that copies a broken control word into an answer gives the word itself back.
func TestUnjoined(t *testing.T) {
	const in = "data: <" + shape.Joiner + "|im_end|> and <" + shape.Joiner + "|im_start|>, \\\\u2060, \u2061, \xe2\x81"
	const want = "data: <|im_end|> and <|im_start|>, \\\\u2060, \u2061, \xe2\x81"
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(in),
		"byte by byte": iotest.OneByteReader(strings.NewReader(in)),
		"with its end": iotest.DataErrReader(strings.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := io.ReadAll(&unjoined{ReadCloser: io.NopCloser(r)})
			if err != nil || string(got) != want {
				t.Errorf("%q, %v\nwant %q", got, err, want)
			}
		})
	}
}
