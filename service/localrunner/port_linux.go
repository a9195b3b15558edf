package localrunner

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// programName is a process's; empty when it cannot be told.
func programName(_ context.Context, pid int32) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	name := strings.TrimSuffix(string(comm), "\n")
	if len(name) < 15 { // the kernel cuts longer ones
		return name
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	first, _, _ := bytes.Cut(line, []byte{0})
	if whole := filepath.Base(string(first)); strings.HasPrefix(whole, name) {
		return whole
	}
	return name
}
