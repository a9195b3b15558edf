//go:build unix

package keeper

import (
	"strings"
	"testing"
)

func TestErrorLines(t *testing.T) {
	log := `INFO starting
ERROR cudaMalloc failed: out of memory
level=INFO msg="POST" status=200
level=ERROR msg="bad" prompt="tell nobody"
{"messages":[{"role":"user","content":"failed"}]}
level=ERROR   msg="address already in use"
bye`
	if got := strings.Join(errorLines(log), " / "); got != `ERROR cudaMalloc failed: out of memory / level=ERROR msg="address already in use"` {
		t.Errorf("%s", got)
	}
}
