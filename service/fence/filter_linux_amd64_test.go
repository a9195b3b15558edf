package fence

import (
	"slices"
	"testing"

	"golang.org/x/net/bpf"
)

// The filter decides which calls are watched: it changes on purpose only.
func TestTheFilterIsWhatItWas(t *testing.T) {
	got, err := program()
	if err != nil {
		t.Fatal(err)
	}
	want := []bpf.RawInstruction{
		{Op: 0x20, Jt: 0, Jf: 0, K: 0x4},
		{Op: 0x15, Jt: 1, Jf: 0, K: 0xc000003e},
		{Op: 0x6, Jt: 0, Jf: 0, K: 0x50026},
		{Op: 0x20, Jt: 0, Jf: 0, K: 0x0},
		{Op: 0x35, Jt: 14, Jf: 0, K: 0x40000000},
		{Op: 0x15, Jt: 13, Jf: 0, K: 0x1a9},
		{Op: 0x15, Jt: 11, Jf: 0, K: 0x2a},
		{Op: 0x15, Jt: 10, Jf: 0, K: 0x2e},
		{Op: 0x15, Jt: 9, Jf: 0, K: 0x133},
		{Op: 0x15, Jt: 1, Jf: 0, K: 0x2c},
		{Op: 0x6, Jt: 0, Jf: 0, K: 0x7fff0000},
		{Op: 0x20, Jt: 0, Jf: 0, K: 0x30},
		{Op: 0x15, Jt: 0, Jf: 5, K: 0x0},
		{Op: 0x20, Jt: 0, Jf: 0, K: 0x34},
		{Op: 0x15, Jt: 0, Jf: 3, K: 0x0},
		{Op: 0x20, Jt: 0, Jf: 0, K: 0x20},
		{Op: 0x25, Jt: 0, Jf: 1, K: 0x200},
		{Op: 0x6, Jt: 0, Jf: 0, K: 0x7fff0000},
		{Op: 0x6, Jt: 0, Jf: 0, K: 0x7fc00000},
		{Op: 0x6, Jt: 0, Jf: 0, K: 0x50026},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
