package claude

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Session is one running Claude Code, as it records itself in <config>/sessions.
type Session struct {
	PID             int    `json:"pid"`
	SessionID       string `json:"sessionId"`
	CWD             string `json:"cwd"`
	ProcStart       string `json:"procStart"` // on Linux field 22 of /proc/<pid>/stat
	Version         string `json:"version"`
	Kind            string `json:"kind"`
	Entrypoint      string `json:"entrypoint,omitempty"` // cli, sdk-cli (claude -p), claude-vscode, sdk-ts …
	Status          string `json:"status"`               // idle, busy, …; claude -p says none
	StartedAt       int64  `json:"startedAt,omitempty"`  // in milliseconds since 1970
	StatusUpdatedAt int64  `json:"statusUpdatedAt,omitempty"`
}

// Started is when the session began; zero when it does not say so.
func (s Session) Started() time.Time { return moment(s.StartedAt) }

// StatusSince is when its status last changed; zero when it does not say so.
func (s Session) StatusSince() time.Time { return moment(s.StatusUpdatedAt) }

func moment(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

var sessionFile = regexp.MustCompile(`^\d+\.json$`)

// Sessions lists the running Claude Codes that a configuration folder records.
// Records of processes that are gone, or whose number now belongs to another
// process, are left out.
func Sessions(configDir string) ([]Session, error) {
	live, _, err := new(Roster).Look(configDir)
	return live, err
}

// Roster reads the records of sessions, and remembers them: a look costs what
// changed. It is for one goroutine. The zero value is ready.
type Roster struct {
	records   map[string]record // by file
	processes map[identity]*Process
}

type record struct {
	size     int64
	modified time.Time
	session  Session
}

// identity names a process for good: numbers are used again.
type identity struct {
	pid   int
	start string
}

func (s Session) process() identity {
	return identity{s.PID, s.ProcStart + "/" + strconv.FormatInt(s.StartedAt, 10)}
}

// Look reads a configuration folder's records: of running sessions, and those that
// processes left behind which were killed.
func (r *Roster) Look(configDir string) (live, stale []Session, err error) {
	dir := filepath.Join(configDir, "sessions")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	known := map[string]record{}
	for _, e := range entries {
		if !sessionFile.MatchString(e.Name()) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		one, ok := r.read(file, e)
		if !ok {
			continue // ended between the two reads
		}
		known[file] = one
		if running(one.session) {
			live = append(live, one.session)
		} else {
			stale = append(stale, one.session)
		}
	}
	for file, one := range r.records {
		if filepath.Dir(file) != dir {
			known[file] = one
		}
	}
	r.records = known
	byPID := func(a, b Session) int { return a.PID - b.PID }
	slices.SortFunc(live, byPID)
	slices.SortFunc(stale, byPID)
	return live, stale, nil
}

func (r *Roster) read(file string, e fs.DirEntry) (record, bool) {
	info, err := e.Info()
	if err != nil {
		return record{}, false
	}
	one := record{size: info.Size(), modified: info.ModTime()}
	if before, known := r.records[file]; known && before.size == one.size && before.modified.Equal(one.modified) {
		return before, true
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return record{}, false
	}
	if json.Unmarshal(data, &one.session) != nil || one.session.PID <= 0 {
		// Being written just now, or of another version: its name still tells the process.
		pid, err := strconv.Atoi(e.Name()[:len(e.Name())-len(".json")])
		if err != nil {
			return record{}, false
		}
		one.session, one.size = Session{PID: pid}, -1 // read it again
	}
	return one, true
}

// Process returns what the session's process was started with, read once.
func (r *Roster) Process(s Session) *Process {
	if p, known := r.processes[s.process()]; known {
		return p
	}
	if r.processes == nil {
		r.processes = map[identity]*Process{}
	}
	p := inspect(s.PID)
	r.processes[s.process()] = p
	return p
}

// Keep forgets the processes of all other sessions.
func (r *Roster) Keep(live []Session) {
	known := map[identity]*Process{}
	for _, s := range live {
		if p, ok := r.processes[s.process()]; ok {
			known[s.process()] = p
		}
	}
	r.processes = known
}

// SessionOf reads the record that a running process keeps in a configuration folder.
func SessionOf(configDir string, pid int) (Session, error) {
	var s Session
	data, err := os.ReadFile(filepath.Join(configDir, "sessions", strconv.Itoa(pid)+".json"))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && !running(s) {
		err = fs.ErrNotExist // another process left it
	}
	return s, err
}
