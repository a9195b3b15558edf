package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/state"
)

// interrupting is a terminal where a person answers the first question with Ctrl-C.
type interrupting struct {
	bytes.Buffer
	interrupt func()
}

func (i *interrupting) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("[y/N]")) {
		i.interrupt()
	}
	return i.Buffer.Write(p)
}

func TestCtrlCEndsTheQuestions(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	keyboard, keys := io.Pipe()
	defer keys.Close()
	terminal := &interrupting{interrupt: cancel}
	c := &commands{Env: Env{Stdin: keyboard, Stderr: terminal}}
	found := []state.Finding{{Text: "one", Command: "first", Fixable: true}, {Text: "two", Command: "second", Fixable: true}}
	did, err := c.fix(ctx, found, false)
	if did || err == nil || strings.Contains(terminal.String(), "two") {
		t.Errorf("did %t, error %v, said %q", did, err, terminal.String())
	}
	go func() { _, _ = io.WriteString(keys, "Yes\n") }()
	if !c.agreed(t.Context(), "Another question?") {
		t.Error("the next answer was lost")
	}
}
