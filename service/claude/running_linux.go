package claude

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// running reports whether the session's process lives and is the one that wrote the record.
func running(s Session) bool {
	start, err := procStart(s.PID)
	return err == nil && (s.ProcStart == "" || start == s.ProcStart)
}

// procStart is when a living process started: field 22 of /proc/<pid>/stat.
func procStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The command's name, field 2, may hold spaces and brackets: count behind the last one.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || string(fields[0]) == "Z" {
		return "", errors.New("it has ended")
	}
	return string(fields[19]), nil
}
