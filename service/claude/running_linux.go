package claude

import (
	"bytes"
	"fmt"
	"os"
)

// running tells whether the session's process lives and is the one that wrote the
// record: field 22 of /proc/<pid>/stat is when it started.
func running(s Session) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID))
	if err != nil {
		return false
	}
	// The command's name, field 2, may hold spaces and brackets: count behind the last one.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || string(fields[0]) == "Z" {
		return false
	}
	return s.ProcStart == "" || string(fields[19]) == s.ProcStart
}
