//go:build !linux

package claude

import "github.com/shirou/gopsutil/v4/process"

// arguments and environment are nil where the system does not tell.
func arguments(pid int) []string {
	args, err := (&process.Process{Pid: int32(pid)}).CmdlineSlice() //nolint:gosec // a process number
	if err != nil {
		return nil
	}
	return args
}

func environment(pid int) []string {
	environ, err := (&process.Process{Pid: int32(pid)}).Environ() //nolint:gosec // a process number
	if err != nil {
		return nil
	}
	return environ
}
