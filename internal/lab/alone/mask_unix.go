//go:build unix

package alone

import "syscall"

func usualMask() { syscall.Umask(0o022) }
