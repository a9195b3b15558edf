//go:build !linux && !windows && !darwin

package gpu

func sysfs(string) []Device { return nil }

func hasNVIDIA(string) bool { return false }
