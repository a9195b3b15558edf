//go:build !windows

package launch

import "syscall"

// become replaces this process: terminal, signals, job control and exit code are
// the session's own.
func become(r Session) (int, error) {
	return 0, syscall.Exec(r.Program, r.Args, r.Environ)
}
