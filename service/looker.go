package service

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
)

// debounce gathers the events of one write before the files are read.
const debounce = 40 * time.Millisecond

// debounceSessions does the same for sessions, which write their records with every turn.
const debounceSessions = 250 * time.Millisecond

// fileLooker is the one goroutine that reads the settings files and the sessions' records.
type fileLooker struct {
	s      *Supervisor
	watch  *settings.Watcher
	exits  map[int]bool // processes being waited for
	ended  chan int
	owned  *sync.WaitGroup
	files  settings.Files // of the last look
	number int            // of the last look
	roster claude.Roster
	cache  *claude.Files
}

func (l *fileLooker) run(ctx context.Context) {
	var due, dueSessions <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.watch.Events():
			if due == nil {
				due = time.After(debounce)
			}
			continue
		case <-l.watch.Sessions():
			if dueSessions == nil {
				dueSessions = time.After(debounceSessions)
			}
			continue
		case <-dueSessions:
			dueSessions = nil
			l.lookAtSessions(ctx)
			continue
		case pid := <-l.ended:
			delete(l.exits, pid)
			if !slices.ContainsFunc(l.files.Waiting, func(s claude.Session) bool { return s.PID == pid }) {
				l.lookAtSessions(ctx)
				continue
			}
		case <-due:
			due = nil
		case <-l.s.lookFiles:
		}
		l.look(ctx)
	}
}

// look reads every target, repairs a switch that was overwritten, and reports what it read.
func (l *fileLooker) look(ctx context.Context) {
	l.repair(ctx)
	d := l.s.door.Load()
	if d != nil {
		d.PointHere(ctx)
	}
	l.number = l.s.nextLook()
	l.files = settings.Read(ctx, l.s.machine)
	if d == nil {
		g := control.GatewayState(ctx, l.s.machine)
		l.s.update(ctx, func(k *known) { k.gateway = g })
	}
	l.lookAtSessions(ctx)
}

// lookAtSessions reads only the sessions' records, and waits for each process to end:
// one that is killed does not remove its record.
func (l *fileLooker) lookAtSessions(ctx context.Context) {
	f, n := l.files, l.number
	facts := sessions.Look(l.s.machine, f.Status, &l.roster, l.cache)
	var folders []string
	for _, one := range facts.Sessions {
		if one.Stale {
			continue
		}
		folders = append(folders, filepath.Join(one.CWD, ".claude"))
		l.waitForEnd(ctx, one.Session)
	}
	for _, p := range facts.Slots {
		l.waitForEnd(ctx, p.Session())
	}
	for _, session := range f.Waiting {
		l.waitForEnd(ctx, session)
	}
	l.watch.Update(folders)
	l.s.update(ctx, func(k *known) { k.read(n, f, facts) })
}

func (l *fileLooker) waitForEnd(ctx context.Context, session claude.Session) {
	if l.exits[session.PID] {
		return
	}
	l.exits[session.PID] = true
	l.owned.Go(func() {
		if claude.WaitExit(ctx, session) != nil {
			return
		}
		select {
		case l.ended <- session.PID:
		case <-ctx.Done():
		}
	})
}

func (l *fileLooker) repair(ctx context.Context) {
	targets, err := l.s.machine.Ledger.Switched()
	if err != nil {
		return // settings.Read warns of it
	}
	for _, t := range targets {
		out, err := l.s.machine.Ledger.Verify(ctx, t)
		if err != nil {
			l.s.log.Warn("verify", "file", t.File, "error", err)
		} else if out.Again > 0 {
			l.s.log.Info("a stale copy was written over the switch; applied again", "file", t.File, "times", out.Again)
		}
	}
}
