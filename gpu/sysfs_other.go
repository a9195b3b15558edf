//go:build !linux

package gpu

func sysfs(string) []Device { return nil }

func hasNVIDIA(string) bool { return false }
