package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// supervised connects to the running Switchyard, and says what to do when none does.
func (c *commands) supervised(ctx context.Context, what string) (*control.Client, error) {
	m, err := c.open()
	if err != nil {
		return nil, err
	}
	running, err := control.Find(ctx, m)
	if errors.Is(err, control.ErrNotRunning) {
		return nil, &fault.Error{Kind: fault.Refused, What: what, Why: "Switchyard is not running, so there is no gateway", Remedy: "start it: switchyard", Err: err}
	}
	return running, err
}

func (c *commands) requests() *cobra.Command {
	var follow bool
	var session string
	cmd := &cobra.Command{
		Use: "requests", Short: "Show what the gateway served: sessions, tokens, times", Args: noArgs,
		Long: `Requests lists the last 1,000 requests that the running Switchyard's gateway
served, oldest first, and their totals. They are kept in memory only, without
prompts or answers.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const what = "listing the requests"
			running, err := c.supervised(cmd.Context(), what)
			if err != nil {
				return err
			}
			var sums totals
			print := func(r gateway.Record) error { sums.add(r); return c.requestsText(r) }
			finish := func() error { _, err := io.WriteString(c.Stdout, sums.text()); return err }
			switch {
			case c.json && follow: // one object a line
				print, finish = c.printLine, func() error { return nil }
			case c.json:
				all := []gateway.Record{}
				print = func(r gateway.Record) error { all = append(all, r); return nil }
				finish = func() error { return c.print(all) }
			default:
				fmt.Fprint(c.Stdout, requestsHead)
			}
			err = running.Requests(cmd.Context(), follow, func(r gateway.Record) error {
				if session != "" && !strings.HasPrefix(r.SessionID, session) {
					return nil
				}
				return print(r)
			})
			switch {
			case err != nil && cmd.Context().Err() == nil:
				return &fault.Error{Kind: fault.Failed, What: what, Why: err.Error(), Remedy: "if Switchyard has quit, start it again: switchyard", Err: err}
			case err == nil && follow && cmd.Context().Err() == nil:
				return &fault.Error{Kind: fault.Failed, What: what, Why: "Switchyard has quit", Remedy: "start it again: switchyard"}
			}
			return finish()
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing new ones")
	cmd.Flags().StringVar(&session, "session", "", "only this session's; the start of its ID is enough")
	return cmd
}

const requestsHead = "TIME      SESSION   MODEL                     STATUS     INPUT    CACHED   OUTPUT   FIRST   TOTAL  QUEUED   TOK/S  CONTEXT  NOTE\n"

func (c *commands) requestsText(r gateway.Record) error {
	session := r.SessionID[:min(len(r.SessionID), 8)]
	if r.AgentID != "" {
		session += "+" // a subagent's
	}
	seconds := func(ms int64) string { return fmt.Sprintf("%.1fs", float64(ms)/1000) }
	_, err := fmt.Fprintf(c.Stdout, "%-8s  %-9s %-25s %6d  %8d  %8d %8d %7s %7s %7s  %6.1f  %6.1f%%  %s\n",
		r.Time.Local().Format(time.TimeOnly), session, runner.Short(r.Model), r.Status, r.InputTokens, r.CachedTokens, r.OutputTokens,
		seconds(r.TTFT), seconds(r.Duration), seconds(r.Queued), r.TokensPerS, r.ContextUsedPct, note(r))
	return err
}

// note is what is remarkable about a request.
func note(r gateway.Record) string {
	var said string
	switch {
	case r.Error == gateway.Overflow:
		said = "too long for the context: Claude Code compacts"
	case r.Error != "":
		said = string(r.Error)
	case r.Cut && r.Purpose == "":
		said = "answer hit the output limit"
	}
	return strings.Join(nonEmpty(string(r.Purpose), said, state.NotesText(r.Notes)), ": ")
}

// totals are the sums of one session on one model each, in the order of their coming.
type totals struct {
	keys  []totalKey
	sums  map[totalKey]*total
	notes map[string]int // requests, by what of them the model got otherwise
}

type totalKey struct{ session, model string }

type total struct{ requests, input, cached, output, cut, overflows, failed int }

func (t *totals) add(r gateway.Record) {
	if r.Purpose != "" { // Switchyard's own
		return
	}
	key := totalKey{r.SessionID, r.Model}
	if t.sums == nil {
		t.sums, t.notes = map[totalKey]*total{}, map[string]int{}
	}
	for _, n := range r.Notes {
		t.notes[state.NoteText(n)]++
	}
	if t.sums[key] == nil {
		t.keys = append(t.keys, key)
		t.sums[key] = &total{}
	}
	sum := t.sums[key]
	sum.requests++
	sum.input += r.InputTokens
	sum.cached += r.CachedTokens
	sum.output += r.OutputTokens
	switch {
	case r.Error == gateway.Overflow:
		sum.overflows++
	case r.Error != "":
		sum.failed++
	case r.Cut:
		sum.cut++
	}
}

// text is the totals' table; what was cut off and what overflowed stands below it.
func (t *totals) text() string {
	if len(t.keys) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	w := columns(&b, 2)
	fmt.Fprintln(w, "TOTAL OF SESSION\tMODEL\tREQUESTS\tINPUT\tCACHED\tOUTPUT\tCUT OFF\tTOO LONG\tFAILED")
	cut, overflows := 0, 0
	for _, key := range t.keys {
		sum := t.sums[key]
		cut, overflows = cut+sum.cut, overflows+sum.overflows
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", cmp.Or(key.session, "none"), runner.Short(key.model),
			sum.requests, sum.input, sum.cached, sum.output, sum.cut, sum.overflows, sum.failed)
	}
	_ = w.Flush()
	if cut > 0 {
		fmt.Fprintf(&b, "! %s hit the output limit\n  → ask for smaller steps, or use a larger context: the limit is an eighth of it\n", words.Count(cut, "answer", "answers"))
	}
	if overflows > 0 {
		fmt.Fprintf(&b, "! %s too long for the context\n  → Claude Code then compacts; a larger context (switchyard context MODEL N) makes this rarer\n", words.Count(overflows, "prompt was", "prompts were"))
	}
	for _, text := range slices.Sorted(maps.Keys(t.notes)) {
		fmt.Fprintf(&b, "%s changed for the model: %s\n", words.Count(t.notes[text], "request", "requests"), text)
	}
	return b.String()
}

func (c *commands) gateway() *cobra.Command {
	var rotate bool
	cmd := &cobra.Command{
		Use: "gateway", Short: "Show what the gateway is doing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, err := c.supervised(cmd.Context(), "asking the gateway")
			if err != nil {
				return err
			}
			if rotate {
				if err := running.RotateToken(cmd.Context()); err != nil {
					return &fault.Error{Kind: fault.Failed, What: "making a new token", Why: err.Error(), Remedy: "check the folder " + c.Paths.State, Err: err}
				}
			}
			g, err := running.Gateway(cmd.Context())
			if err != nil {
				return err
			}
			return c.result(g, gatewayText(g))
		},
	}
	cmd.Flags().BoolVar(&rotate, "rotate-token", false, "make a new token first; Claude Code's settings and running sessions follow")
	return cmd
}

// guard is how Switchyard starts its own second process; see service.Guard.
func (c *commands) guard() *cobra.Command {
	return &cobra.Command{
		Use: "guard", Hidden: true, Args: noArgs,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, _ []string) error {
			log, closeLog := config.OpenLog(m.Paths)
			defer closeLog()
			return service.Guard(ctx, m, log, os.Stdin)
		}),
	}
}
