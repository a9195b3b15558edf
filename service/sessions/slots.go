package sessions

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/words"
)

// Slot is a session of switchyard run, running or waiting for its turn: a file
// <runtime>/run/<pid>.json that counts as long as the process lives. The process becomes
// Claude Code itself, so a crash frees the slot too.
type Slot struct {
	PID     int       `json:"pid"`
	Start   string    `json:"start"`   // of the process
	Started int64     `json:"started"` // in milliseconds since 1970
	Model   string    `json:"model"`
	Folder  string    `json:"folder"`
	Number  int       `json:"number"`  // in the order of arrival
	Waiting bool      `json:"waiting"` // for its turn
	Gateway bool      `json:"gateway"` // it uses the gateway, and cannot be pointed elsewhere
	Since   time.Time `json:"since"`
}

// OverlaySuffix ends the name of a session's settings file, <pid>.settings.json, beside its
// slot.
const OverlaySuffix = ".settings.json"

// Session identifies the process.
func (p Slot) Session() claude.Session {
	return claude.Session{PID: p.PID, ProcStart: p.Start, StartedAt: p.Started}
}

// Who describes the session, for a message.
func (p Slot) Who(now time.Time) string {
	return fmt.Sprintf("the session in %s (process %d, since %s)", filepath.Base(p.Folder), p.PID, words.Since(p.Since, now))
}

// Slots lists the slots of living processes by number, and removes the files of dead
// ones.
func Slots(m *machine.Machine) (all []Slot) {
	for _, runtime := range m.Paths.RuntimeDirs() {
		dir := filepath.Join(runtime, "run")
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, file := range files {
			name, ok := strings.CutSuffix(file.Name(), ".json")
			if !ok || strings.HasSuffix(file.Name(), OverlaySuffix) {
				continue
			}
			var p Slot
			data, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil || json.Unmarshal(data, &p) != nil {
				continue // being written just now
			}
			if !claude.Running(p.Session()) {
				left, _ := filepath.Glob(filepath.Join(dir, name+".*")) // also what it was writing when it was killed
				for _, one := range left {
					_ = os.Remove(one)
				}
				continue
			}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Slot) int { return a.Number - b.Number })
	return all
}
