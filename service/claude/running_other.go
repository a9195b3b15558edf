//go:build !linux

package claude

import "github.com/shirou/gopsutil/v4/process"

// running reports whether the session's process lives and is the one that wrote the
// record: one that started later than the session only has its number.
func running(s Session) bool {
	const slack = 2000                         // ms; the clocks of process and record may differ in their steps
	p, err := process.NewProcess(int32(s.PID)) //nolint:gosec // a process number
	if err != nil {
		return false
	}
	created, err := p.CreateTime()
	return err != nil || s.StartedAt == 0 || created <= s.StartedAt+slack
}

// procStart is not needed where the start of a process is compared by time.
func procStart(int) (string, error) { return "", nil }
