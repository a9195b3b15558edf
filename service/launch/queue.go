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

// How a second session on a model is treated.
type Turn int

const (
	AskFirst  Turn = iota // a person is asked
	WaitTurn              // it waits: first come, first served
	ShareTurn             // it goes ahead
)

// Others hears and decides about other sessions on the same model.
type Queue struct {
	Turn   Turn
	Ask    func(others string) Turn // of a person at a terminal; nil: nobody can be asked
	Tell   func(text string)        // how the waiting goes on
	beside func() []sessions.Slot   // further sessions on the model, which have no place
}

// acquire takes a place on a model, and tells whether it had to wait for it. leave
// gives it back when no session came of it.
func acquire(ctx context.Context, m *machine.Machine, own sessions.Slot, c Queue) (leave func(), waited bool, err error) {
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
		if c.beside != nil && c.Turn != ShareTurn {
			others = c.beside() // the gateway is asked: not under the lock
		}
		ahead, err := enter(ctx, m, dir, file, &own, c.Turn, others)
		if err != nil {
			leave()
			return nil, waited, err
		}
		if len(ahead) == 0 {
			return leave, waited, nil
		}
		if c.Turn == AskFirst {
			who := ahead[0].Who(time.Now())
			if more := len(ahead) - 1; more > 0 {
				who += fmt.Sprintf(" and %d more", more)
			}
			if c.Ask == nil {
				return nil, waited, &fault.Error{Kind: fault.Refused, What: whatRun, Why: runner.Short(own.Model) + " is in use by " + who, Remedy: "wait for it with --wait, or go ahead with --share"}
			}
			if c.Turn = c.Ask(who); c.Turn == AskFirst {
				return nil, waited, &fault.Error{Kind: fault.Refused, What: whatRun, Why: "the model is in use", Remedy: "start it again later, or with --wait"}
			}
			continue
		}
		waited = true
		if text := fmt.Sprintf("waiting for %s: number %d in the queue, behind %s", runner.Short(own.Model), 1+waiting(ahead), ahead[len(ahead)-1].Who(time.Now())); text != said && c.Tell != nil {
			said = text
			c.Tell(text)
		}
		if err := firstEnd(ctx, ahead); err != nil {
			leave()
			return nil, waited, errInterrupted(err)
		}
	}
}

// enter takes the place when nobody is ahead, or a number in the queue. others are
// ahead of everybody.
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

// firstEnd waits until one of those ahead has ended.
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

// lookAgain is how long one waits at most for those ahead before one looks anew:
// a session without a place may have become quiet.
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
