//go:build !linux

package claude

import (
	"os"
	"runtime"
	"syscall"
)

// running tells whether a process of that number lives. Where its start cannot
// be compared, a number used again keeps a session alive longer than it was:
// the keys then stay "" for a while more, which is the harmless side.
func running(pid int, _ string) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	return runtime.GOOS == "windows" || p.Signal(syscall.Signal(0)) == nil
}
