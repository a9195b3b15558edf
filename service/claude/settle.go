package claude

import (
	"context"
	"time"
)

// settling is how long after a switch a session may still write a stale copy of
// its settings: it reloads them about a second after they change.
const settling = 10 * time.Second

const maxAgain = 5

// Verify looks whether a switch of the last few seconds still stands. A running
// Claude Code may have written a stale copy over it: then the switch is applied
// again to that copy, whose other changes are kept. Older differences are drift,
// which only a person can judge.
func (l *Ledger) Verify(ctx context.Context, t Target) (Outcome, error) {
	f := l.folder(t)
	current, err := f.read("entry.json")
	if err != nil || current == nil {
		return Outcome{}, err
	}
	stale, err := f.stale(current)
	if err != nil || !stale {
		return Outcome{}, err
	}
	if sessions, err := Sessions(t.ConfigDir); err != nil || len(sessions) == 0 {
		return Outcome{}, err // no session, no stale copy: a person put it back
	}
	unlock, err := f.begin(ctx, f.wait)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	if current, err = f.read("entry.json"); err != nil || current == nil {
		return Outcome{}, err
	}
	if stale, err = f.stale(current); err != nil || !stale {
		return Outcome{}, err
	}
	now, err := readIfExists(current.Target.File)
	if err != nil {
		return Outcome{}, err
	}
	values, err := current.wanted(now)
	if err != nil {
		return Outcome{}, err
	}
	next := *current
	next.Again++
	out, err := f.apply(ctx, next, values)
	if err == nil {
		out.Again = next.Again
	}
	return out, err
}

// Settle watches a target after a switch until no stale copy can come any more,
// and repairs what one did. It returns at once when no session is running.
func (l *Ledger) Settle(ctx context.Context, t Target) (Outcome, error) {
	var total Outcome
	if sessions, err := Sessions(t.ConfigDir); err != nil || len(sessions) == 0 {
		return total, err
	}
	quiet := 0
	for quiet < len(settleAfter) {
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-time.After(settleAfter[quiet]):
		}
		out, err := l.Verify(ctx, t)
		if err != nil {
			return total, err
		}
		quiet++
		if out.Again > 0 {
			total, quiet = out, 0
		}
	}
	return total, nil
}

// settleAfter are the pauses between looks at a switched file: Claude Code's
// stale copies were seen up to 2 s after a switch.
var settleAfter = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, time.Second, 500 * time.Millisecond}

// stale reports whether the file carries values from just before the switch.
func (f folder) stale(current *entry) (bool, error) {
	if f.now().Sub(current.Switched) > settling || current.Again >= maxAgain {
		return false, nil
	}
	now, err := readIfExists(current.Target.File)
	if err != nil || now == nil || sum(now) == current.After {
		return false, err
	}
	doc, err := parse(now)
	if err != nil {
		return false, nil // being written just now, or broken: not a stale copy
	}
	for _, k := range current.Keys {
		if present := doc.value(k.Name); !same(present, k.New) && same(present, k.Was) {
			return true, nil
		}
	}
	return false, nil
}

// wanted are the variables that the current switch sets, without those that
// were changed meanwhile.
func (e *entry) wanted(now []byte) (map[string]string, error) {
	doc, err := parseFile(e.Target.File, now)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, k := range e.Keys {
		present := doc.value(k.Name)
		changedByOthers := !same(present, k.New) && !same(present, k.Was)
		if k.New != nil && !same(k.New, k.Old) && !changedByOthers {
			values[k.Name] = *k.New
		}
	}
	return values, nil
}

// Repoint leads a target that is local or offline another way to the same model:
// BaseURL, Token, Way and Direct of the destination count. A target that is in the
// cloud, or whose base URL was changed since, is left as it is.
func (l *Ledger) Repoint(ctx context.Context, t Target, to Destination) (Outcome, error) {
	f := l.folder(t)
	if missing(f.path) {
		return Outcome{}, nil
	}
	unlock, err := f.begin(ctx, f.wait)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	current, err := f.read("entry.json")
	if err != nil || current == nil || current.returning() {
		return Outcome{}, err
	}
	now, err := readIfExists(t.File)
	if err != nil || now == nil {
		return Outcome{}, err
	}
	values, err := current.wanted(now)
	if err != nil || values[baseURLKey] != current.BaseURL {
		return Outcome{}, err
	}
	values[baseURLKey], values[tokenKey] = to.BaseURL, to.Token
	next := *current
	next.BaseURL, next.Way, next.Direct, next.Again = to.BaseURL, to.Way, to.Direct, 0
	return f.apply(ctx, next, values)
}
