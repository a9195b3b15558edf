package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// wipe empties a terminal's line, to draw it again.
const wipe = "\r\x1b[K"

// columns lines up what is separated by tabs.
func columns(w io.Writer, gap int) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
}

// agreed asks a person whether to go on.
func (c *commands) agreed(ctx context.Context, question string) bool {
	return strings.HasPrefix(c.ask(ctx, question+" [y/N] "), "y")
}

// ask returns a person's answer in small letters; nothing when Ctrl-C is one.
func (c *commands) ask(ctx context.Context, question string) string {
	fmt.Fprint(c.Stderr, question)
	if c.answers == nil {
		c.answers = bufio.NewReader(c.Stdin)
	}
	if c.pending == nil {
		c.pending = make(chan string, 1)
		// A read of a terminal cannot be cancelled. There is one at a time, and the
		// next question waits for the same.
		go func(line chan<- string) {
			answer, _ := c.answers.ReadString('\n')
			line <- strings.ToLower(strings.TrimSpace(answer))
		}(c.pending)
	}
	select {
	case answer := <-c.pending:
		c.pending = nil
		return answer
	case <-ctx.Done():
		fmt.Fprintln(c.Stderr)
		return ""
	}
}

// cut shortens a line for a terminal.
func cut(line string, width int) string {
	runes := []rune(line)
	if len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}
