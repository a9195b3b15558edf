package sessions

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Fact is what is known of a session besides what the gateway sees.
type Fact struct {
	claude.Session
	word    claude.Word
	decided time.Time // when a file that decides its route was written last
	pin     string    // the layer that decides its route in the target's place; empty: none does
	ours    bool      // switchyard run started it
	Stale   bool
	lock    string // who forbids the cloud to it; empty: nobody
	target  int    // of files.status: whose settings it reads; -1: nobody's
}

// Facts is what is known of all sessions.
type Facts struct {
	Sessions []Fact
	Slots    []Slot // of what switchyard run started
}

// Look reads the records of every target's folder, and what each session's
// layers say.
func Look(m *machine.Machine, status []machine.Inspected, roster *claude.Roster, cache *claude.Files) (f Facts) {
	f.Slots = Slots(m)
	managed := m.Scope("").ManagedDir
	locks := map[string]string{} // by folder
	var all []claude.Session
	seen := map[string]bool{}
	for _, t := range status {
		dir := t.ConfigDir
		if seen[dir] {
			continue
		}
		seen[dir] = true
		live, stale, _ := roster.Look(dir)
		all = append(all, live...)
		for _, s := range live {
			p := roster.Process(s)
			scope := claude.Scope{ManagedDir: managed, ConfigDir: dir, Project: s.CWD, Environ: p.Environ, Launch: p.Launch, Files: cache}
			one := Fact{Session: s, word: scope.Word(), decided: scope.Decided(), target: targetOf(status, dir, s),
				ours: slices.ContainsFunc(f.Slots, func(p Slot) bool { return p.PID == s.PID })}
			one.pin = pin(m, status, one)
			if _, known := locks[s.CWD]; !known {
				locks[s.CWD] = ""
				if lock, locked := m.Locked(s.CWD); locked {
					locks[s.CWD] = m.Tilde(lock.Where())
				}
			}
			one.lock = locks[s.CWD]
			f.Sessions = append(f.Sessions, one)
		}
		for _, s := range stale {
			f.Sessions = append(f.Sessions, Fact{Session: s, Stale: true, target: -1})
		}
	}
	roster.Keep(all)
	return f
}

// Runs counts what switchyard run started whose requests go to the gateway.
func (f Facts) Runs() (n int) {
	for _, p := range f.Slots {
		if p.Gateway {
			n++
		}
	}
	return n
}

// targetOf is the target whose switches a session follows: its project's before the user's.
func targetOf(status []machine.Inspected, configDir string, s claude.Session) int {
	found := -1
	for i, t := range status {
		if t.ConfigDir != configDir || !t.Covers(s) {
			continue
		}
		if found < 0 || t.Project != "" && t.Route != claude.Cloud {
			found = i
		}
	}
	return found
}

// pin names the layer that decides where a session's requests go, when that is
// none that a switch of its target writes.
func pin(m *machine.Machine, status []machine.Inspected, s Fact) string {
	at := s.word.Place
	switch {
	case s.ours && at.Layer == claude.CommandLine:
		return "switchyard run"
	case at.Layer == claude.CommandLine:
		return "--settings"
	case s.word.Provider != "":
		return s.word.Provider
	case at.File == "" || at.Layer == claude.User:
		return ""
	case slices.ContainsFunc(status, func(t machine.Inspected) bool { return t.File == at.File && t.Route != claude.Cloud }):
		return "" // a project that was switched alone
	}
	return m.Tilde(fmt.Sprintf("%s:%d", at.File, at.Line))
}
