//go:build unix

package service

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// killGroup kills the runner whose process group a lock file names.
func killGroup(t *testing.T, lock string) {
	t.Helper()
	data, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func alive(pid int) bool { return syscall.Kill(-pid, 0) == nil }
