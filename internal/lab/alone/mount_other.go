//go:build !linux

package alone

import "testing"

// Mounts skips the test: the small disks of tests are Linux's.
func Mounts(t *testing.T) bool {
	t.Helper()
	t.Skip("the small disk needs Linux")
	return false
}
