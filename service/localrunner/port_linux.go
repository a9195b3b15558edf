package localrunner

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// programName is the name of a process; empty if unknown.
func programName(_ context.Context, pid int32) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	name := strings.TrimSuffix(string(comm), "\n")
	if len(name) < 15 { // the kernel truncates names to 15 bytes
		return name
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	first, _, _ := bytes.Cut(line, []byte{0})
	if whole := filepath.Base(string(first)); strings.HasPrefix(whole, name) {
		return whole
	}
	return name
}
