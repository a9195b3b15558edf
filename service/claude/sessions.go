package claude

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// Session is one running Claude Code, as it records itself.
type Session struct {
	PID       int    `json:"pid"`
	SessionID string `json:"sessionId"`
	CWD       string `json:"cwd"`
	ProcStart string `json:"procStart"` // on Linux field 22 of /proc/<pid>/stat
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Status    string `json:"status"`
}

var sessionFile = regexp.MustCompile(`^\d+\.json$`)

// Sessions lists the running Claude Codes that a configuration folder records.
// Records of processes that are gone, or whose number now belongs to another
// process, are left out.
func Sessions(configDir string) ([]Session, error) {
	dir := filepath.Join(configDir, "sessions")
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var live []Session
	for _, e := range entries {
		if !sessionFile.MatchString(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // ended between the two reads
		}
		var s Session
		if json.Unmarshal(data, &s) != nil || s.PID <= 0 {
			// Being written just now, or of another version: its name still tells the process.
			pid, err := strconv.Atoi(e.Name()[:len(e.Name())-len(".json")])
			if err != nil {
				continue
			}
			s = Session{PID: pid}
		}
		if running(s.PID, s.ProcStart) {
			live = append(live, s)
		}
	}
	slices.SortFunc(live, func(a, b Session) int { return a.PID - b.PID })
	return live, nil
}
