package launch

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/sessions"
)

// Turn says what to do if other sessions use the same model.
type Turn int

// The turns.
const (
	AskFirst  Turn = iota // ask the user
	WaitTurn              // wait: first come, first served
	ShareTurn             // go ahead
)

// Queue says what to do if other sessions use the same model.
type Queue struct {
	Turn   Turn
	Ask    func(others string) Turn // asks the user; nil: there is no terminal
	Tell   func(text string)        // called when the session's position in the queue changes
	beside func() []sessions.Slot   // further sessions on the model, which have no slot
}

// acquire takes a slot on a model, and reports whether it had to wait for it. leave gives
// the slot back if the session is not started.
func acquire(ctx context.Context, m *machine.Machine, own sessions.Slot, q Queue) (leave func(), waited bool, err error) {
	dir, err := m.Paths.Runs()
	if err != nil {
		return nil, waited, &fault.Error{Kind: fault.Failed, What: whatRun, Why: err.Error(), Remedy: "make the folder writable", Err: err}
	}
	self, err := claude.Self()
	if err != nil {
		return nil, waited, &fault.Error{Kind: fault.Failed, What: whatRun, Why: "cannot identify this process: " + err.Error(), Remedy: "run claude directly", Err: err}
	}
	own.PID, own.Start, own.Started, own.Since = self.PID, self.ProcStart, self.StartedAt, time.Now()
	file := filepath.Join(dir, fmt.Sprintf("%d.json", own.PID))
	leave = func() {
		_ = os.Remove(file)
		_ = os.Remove(overlayFile(dir, own.PID))
	}
	said := ""
	for {
		var others []sessions.Slot
		if q.beside != nil && q.Turn != ShareTurn {
			others = q.beside() // asks the gateway: not while holding the lock
		}
		ahead, err := enter(ctx, m, dir, file, &own, q.Turn, others)
		if err != nil {
			leave()
			return nil, waited, err
		}
		if len(ahead) == 0 {
			return leave, waited, nil
		}
		if q.Turn == AskFirst {
			who := ahead[0].Who(time.Now())
			if more := len(ahead) - 1; more > 0 {
				who += fmt.Sprintf(" and %d more", more)
			}
			if q.Ask == nil {
				return nil, waited, &fault.Error{Kind: fault.Refused, What: whatRun, Why: runner.Short(own.Model) + " is in use by " + who, Remedy: "wait for it with --wait, or go ahead with --share"}
			}
			if q.Turn = q.Ask(who); q.Turn == AskFirst {
				return nil, waited, &fault.Error{Kind: fault.Refused, What: whatRun, Why: "the model is in use", Remedy: "start it again later, or with --wait"}
			}
			continue
		}
		waited = true
		if text := fmt.Sprintf("waiting for %s: number %d in the queue, behind %s", runner.Short(own.Model), 1+waiting(ahead), ahead[len(ahead)-1].Who(time.Now())); text != said && q.Tell != nil {
			said = text
			q.Tell(text)
		}
		if err := firstEnd(ctx, ahead); err != nil {
			leave()
			return nil, waited, errInterrupted(err)
		}
	}
}

// enter takes the slot if no session is ahead, or else a number in the queue. others count as
// ahead of all.
func enter(ctx context.Context, m *machine.Machine, dir, file string, own *sessions.Slot, turn Turn, others []sessions.Slot) (ahead []sessions.Slot, err error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); ctx.Err() != nil {
		return nil, errInterrupted(err)
	} else if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, What: whatRun, Why: "cannot take its place in the queue: " + err.Error(), Remedy: "check " + dir, Err: err}
	}
	defer func() { _ = lock.Close() }()
	last := 0
	ahead = others
	for _, p := range sessions.Slots(m) {
		last = max(last, p.Number)
		if p.PID == own.PID || p.Model != own.Model || turn == ShareTurn {
			continue
		}
		if !p.Waiting || own.Number == 0 || p.Number < own.Number {
			ahead = append(ahead, p)
		}
	}
	if own.Number == 0 {
		own.Number = last + 1
	}
	if own.Waiting = len(ahead) > 0; own.Waiting && turn != WaitTurn {
		own.Number = 0
		return ahead, nil
	}
	data, err := json.Marshal(own)
	if err == nil {
		err = config.WriteAtomic(file, data)
	}
	return ahead, err
}

// firstEnd waits until one of the sessions ahead has ended, or for lookAgain.
func firstEnd(ctx context.Context, ahead []sessions.Slot) error {
	var waits sync.WaitGroup
	defer waits.Wait()
	bounded, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	ended := make(chan struct{}, len(ahead))
	for _, p := range ahead {
		waits.Go(func() {
			if claude.WaitExit(bounded, p.Session()) == nil {
				ended <- struct{}{}
			}
		})
	}
	select {
	case <-ended:
	case <-bounded.Done():
	}
	return ctx.Err()
}

// lookAgain is how long to wait for those ahead before looking again: a session without a
// slot may have become idle.
const lookAgain = time.Minute

func errInterrupted(err error) *fault.Error {
	return &fault.Error{Kind: fault.Failed, What: whatRun, Why: "interrupted while waiting", Remedy: "start it again", Err: err}
}

func waiting(places []sessions.Slot) (n int) {
	for _, p := range places {
		if p.Waiting {
			n++
		}
	}
	return n
}

func overlayFile(dir string, pid int) string {
	return filepath.Join(dir, fmt.Sprintf("%d%s", pid, sessions.OverlaySuffix))
}
