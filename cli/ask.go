package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// sure asks a person whether the offline route may end.
func (c *commands) sure(ctx context.Context) bool {
	return strings.HasPrefix(c.ask(ctx, "The route is offline. In the cloud Claude Code talks to Anthropic again. End it? [y/N] "), "y")
}

// ask returns a person's answer in small letters; nothing when Ctrl-C is one.
func (c *commands) ask(ctx context.Context, question string) string {
	fmt.Fprint(c.Stderr, question)
	answers := make(chan string, 1)
	if c.answers == nil {
		c.answers = bufio.NewReader(c.Stdin)
	}
	go func() { // ends with the line, or the process
		answer, _ := c.answers.ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-answers:
		return answer
	case <-ctx.Done():
		fmt.Fprintln(c.Stderr)
		return ""
	}
}
