package gpu

import (
	"runtime"

	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sys/unix"
)

// sysfs describes Apple Silicon's GPU, which shares the machine's memory.
func sysfs(string) []Device {
	if runtime.GOARCH != "arm64" {
		return nil
	}
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return nil
	}
	wired, _ := unix.SysctlUint32("iogpu.wired_limit_mb") // 0: the system's own limit
	available := int64(-1)
	if m, err := mem.VirtualMemory(); err == nil {
		available = int64(m.Available)
	}
	return []Device{apple(int64(total), int64(wired), available)}
}

func hasNVIDIA(string) bool { return false }
