package document

import (
	"io"
	"strings"
	"testing"
)

// A rope is the texts and pieces it was given, in their order, however they are mixed.
func TestRope(t *testing.T) {
	var r, inner Rope
	var want strings.Builder
	for i := range 200 {
		text := strings.Repeat(string(rune('a'+i%26)), i%7)
		want.WriteString(text)
		switch i % 4 {
		case 0:
			r.Raw([]byte(text))
		case 3:
			inner = Rope{}
			inner.Text(text[:len(text)/2])
			inner.Text(text[len(text)/2:])
			r.Join(inner)
		default:
			r.Text(text)
		}
	}
	r.Text(strings.Repeat("z", 5000))
	want.WriteString(strings.Repeat("z", 5000))
	if got := string(r.Bytes()); got != want.String() || r.Size() != int64(want.Len()) {
		t.Errorf("%d bytes: %s\nwant %s", r.Size(), got, want.String())
	}
	if got, err := io.ReadAll(r.Reader()); err != nil || string(got) != want.String() {
		t.Errorf("read: %s, %v", got, err)
	}
}
