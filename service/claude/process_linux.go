package claude

import (
	"bytes"
	"fmt"
	"os"
)

// running tells whether the process lives and is the one that started at start
// (field 22 of /proc/<pid>/stat; empty when unknown).
func running(pid int, start string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The command's name, field 2, may hold spaces and brackets: count behind the last one.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || string(fields[0]) == "Z" {
		return false
	}
	return start == "" || string(fields[19]) == start
}
