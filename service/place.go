package service

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// place is a session that "switchyard run" started, or one that waits to be: a file
// <runtime>/run/<pid>.json for as long as the process lives. The process becomes
// Claude Code itself, so a crash frees the place too.
type place struct {
	PID     int       `json:"pid"`
	Start   string    `json:"start"`   // of the process
	Started int64     `json:"started"` // in milliseconds since 1970
	Model   string    `json:"model"`
	Folder  string    `json:"folder"`
	Number  int       `json:"number"`  // in the order of their coming
	Waiting bool      `json:"waiting"` // for its turn
	Gateway bool      `json:"gateway"` // its requests go there, and cannot be led elsewhere
	Since   time.Time `json:"since"`
}

func (p place) session() claude.Session {
	return claude.Session{PID: p.PID, ProcStart: p.Start, StartedAt: p.Started}
}

// who names whoever has a place.
func (p place) who(now time.Time) string {
	return fmt.Sprintf("the session in %s (process %d, since %s)", filepath.Base(p.Folder), p.PID, words.Since(p.Since, now))
}

// runs is the folder of the places, and of the settings of their sessions.
func (p Paths) runs() (dir string, err error) {
	runtime, err := p.RuntimeDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(runtime, "run")
	return dir, os.MkdirAll(dir, 0o700)
}

const overlaySuffix = ".settings.json"

// places lists those whose process lives, by their numbers, and removes what others
// left behind.
func (y *Yard) places() (all []place) {
	for _, runtime := range unique([]string{y.Paths.Runtime, y.Paths.State}) {
		dir := filepath.Join(runtime, "run")
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, file := range files {
			name, ok := strings.CutSuffix(file.Name(), ".json")
			if !ok || strings.HasSuffix(file.Name(), overlaySuffix) {
				continue
			}
			var p place
			data, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil || json.Unmarshal(data, &p) != nil {
				continue // being written just now
			}
			if !claude.Running(p.session()) {
				_ = os.Remove(filepath.Join(dir, file.Name()))
				_ = os.Remove(filepath.Join(dir, name+overlaySuffix))
				continue
			}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b place) int { return a.Number - b.Number })
	return all
}

// How a second session on a model is treated.
type Turn int

const (
	AskFirst  Turn = iota // a person is asked
	WaitTurn              // it waits: first come, first served
	ShareTurn             // it goes ahead
)

// Company hears and decides about other sessions on the same model.
type Company struct {
	Turn   Turn
	Ask    func(others string) Turn // of a person at a terminal; nil: nobody can be asked
	Tell   func(text string)        // how the waiting goes on
	others func() []place           // further sessions on the model, which have no place
}

// takePlace takes a place on a model, and tells whether it had to wait for it. leave
// gives it back when no session came of it.
func (y *Yard) takePlace(ctx context.Context, own place, c Company) (leave func(), waited bool, err error) {
	dir, err := y.Paths.runs()
	if err != nil {
		return nil, waited, &Error{Kind: Failed, What: whatRun, Why: err.Error(), Remedy: "make the folder writable", Err: err}
	}
	self, err := claude.Self()
	if err != nil {
		return nil, waited, &Error{Kind: Failed, What: whatRun, Why: "cannot identify this process: " + err.Error(), Remedy: "run claude directly", Err: err}
	}
	own.PID, own.Start, own.Started, own.Since = self.PID, self.ProcStart, self.StartedAt, time.Now()
	file := filepath.Join(dir, fmt.Sprintf("%d.json", own.PID))
	leave = func() {
		_ = os.Remove(file)
		_ = os.Remove(overlayFile(dir, own.PID))
	}
	said := ""
	for {
		var others []place
		if c.others != nil && c.Turn != ShareTurn {
			others = c.others() // the gateway is asked: not under the lock
		}
		ahead, err := y.enter(ctx, dir, file, &own, c.Turn, others)
		if err != nil {
			leave()
			return nil, waited, err
		}
		if len(ahead) == 0 {
			return leave, waited, nil
		}
		if c.Turn == AskFirst {
			who := ahead[0].who(time.Now())
			if more := len(ahead) - 1; more > 0 {
				who += fmt.Sprintf(" and %d more", more)
			}
			if c.Ask == nil {
				return nil, waited, &Error{Kind: Refused, What: whatRun, Why: runner.Short(own.Model) + " is in use by " + who, Remedy: "wait for it with --wait, or go ahead with --share"}
			}
			if c.Turn = c.Ask(who); c.Turn == AskFirst {
				return nil, waited, &Error{Kind: Refused, What: whatRun, Why: "the model is in use", Remedy: "start it again later, or with --wait"}
			}
			continue
		}
		waited = true
		if text := fmt.Sprintf("waiting for %s: number %d in the queue, behind %s", runner.Short(own.Model), 1+waiting(ahead), ahead[len(ahead)-1].who(time.Now())); text != said && c.Tell != nil {
			said = text
			c.Tell(text)
		}
		if err := firstEnd(ctx, ahead); err != nil {
			leave()
			return nil, waited, interrupted(err)
		}
	}
}

func interrupted(err error) *Error {
	return &Error{Kind: Failed, What: whatRun, Why: "the waiting was interrupted", Remedy: "start it again", Err: err}
}

func waiting(places []place) (n int) {
	for _, p := range places {
		if p.Waiting {
			n++
		}
	}
	return n
}

// enter takes the place when nobody is ahead, or a number in the queue. others are
// ahead of everybody.
func (y *Yard) enter(ctx context.Context, dir, file string, own *place, turn Turn, others []place) (ahead []place, err error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); ctx.Err() != nil {
		return nil, interrupted(err)
	} else if err != nil {
		return nil, &Error{Kind: Failed, What: whatRun, Why: "its place cannot be taken: " + err.Error(), Remedy: "check " + dir, Err: err}
	}
	defer func() { _ = lock.Close() }()
	last := 0
	ahead = others
	for _, p := range y.places() {
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
		err = writeWhole(file, data)
	}
	return ahead, err
}

// writeWhole replaces a file of Switchyard's own.
func writeWhole(file string, data []byte) error {
	temp := file + ".tmp"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// lookAgain is how long one waits at most for those ahead before one looks anew:
// a session without a place may have become quiet.
const lookAgain = time.Minute

// firstEnd waits until one of those ahead has ended.
func firstEnd(ctx context.Context, ahead []place) error {
	bounded, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	ended := make(chan struct{}, len(ahead))
	for _, p := range ahead {
		go func() { // ends with the wait
			if claude.WaitExit(bounded, p.session()) == nil {
				ended <- struct{}{}
			}
		}()
	}
	select {
	case <-ended:
	case <-bounded.Done():
	}
	return ctx.Err()
}

func overlayFile(dir string, pid int) string {
	return filepath.Join(dir, fmt.Sprintf("%d%s", pid, overlaySuffix))
}
