//go:build !windows

package launch

import "syscall"

// become replaces this process with the session, which thus has the terminal, signals, job
// control and exit code of its own. It returns only if that fails.
func become(r Session) (int, error) {
	return 0, syscall.Exec(r.Program, r.Args, r.Environ)
}
