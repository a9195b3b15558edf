package sessions

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Fact is what a session's record, process and settings say.
type Fact struct {
	claude.Session
	effective claude.Effective // what its settings say
	decided   time.Time        // when the file that decides its route was last written
	pin       string           // what decides its route instead of the target; empty: nothing does
	ours      bool             // started by switchyard run
	Stale     bool             // its process was killed; only the record is left
	lock      string           // where the cloud is forbidden to it; empty: nowhere
	target    int              // index of the target whose settings it reads; -1: none
}

// Facts are the facts about all sessions.
type Facts struct {
	Sessions []Fact
	Slots    []Slot // of the sessions of switchyard run
}

// Look reads the records of sessions in the folder of every target, and the settings that
// apply to each session. roster and cache make repeated looks cheaper.
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
			one := Fact{Session: s, effective: scope.Effective(), decided: scope.Decided(), target: targetOf(status, dir, s),
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

// Runs counts the sessions of switchyard run that use the gateway.
func (f Facts) Runs() (n int) {
	for _, p := range f.Slots {
		if p.Gateway {
			n++
		}
	}
	return n
}

// targetOf is the index of the target that a session follows: its project's if that was
// switched, else the user's; -1: none.
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

// pin names what decides where a session's requests go, if a switch of its target does
// not: a file and line, a variable, "--settings" or "switchyard run".
func pin(m *machine.Machine, status []machine.Inspected, s Fact) string {
	at := s.effective.Place
	switch {
	case s.ours && at.Layer == claude.CommandLine:
		return "switchyard run"
	case at.Layer == claude.CommandLine:
		return "--settings"
	case s.effective.Provider != "":
		return s.effective.Provider
	case s.effective.Ignores != "" && (at.File == "" || at.Layer == claude.User):
		return s.effective.Ignores
	case at.File == "" || at.Layer == claude.User:
		return ""
	case slices.ContainsFunc(status, func(t machine.Inspected) bool { return t.File == at.File && t.Route != claude.Cloud }):
		return "" // a project that was switched alone
	}
	return m.Tilde(fmt.Sprintf("%s:%d", at.File, at.Line))
}
