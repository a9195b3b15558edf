//go:build unix && !linux

package engine

import "syscall"

// endWithUs does nothing here: what a killed Switchyard leaves is ended by its guard or its next start.
func endWithUs(*syscall.SysProcAttr) {}
