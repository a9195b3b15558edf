package gpu

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sysfs lists the GPUs that the kernel knows, with what AMD's driver says about their
// memory. Reading there wakes none of them.
func sysfs(root string) (devices []Device) {
	intel := false
	dirs, _ := filepath.Glob(filepath.Join(root, "sys/bus/pci/devices/*"))
	for _, dir := range dirs {
		if !strings.HasPrefix(text(dir, "class"), "0x03") { // a display controller
			continue
		}
		vendor := text(dir, "vendor")
		maker, known := byVendor(vendor)
		if !known {
			intel = intel || vendor == "0x8086"
			continue
		}
		d := Device{Name: string(maker) + " GPU", Maker: maker, Total: -1, Free: -1}
		if status := text(dir, "power/runtime_status"); status == "suspended" || status == "suspending" {
			d.Asleep, d.Why = true, "it is asleep"
		} else if maker == AMD {
			amd(dir, &d)
		}
		devices = append(devices, d)
	}
	if intel && len(devices) == 0 { // beside another GPU it only draws the screen
		devices = append(devices, Device{Name: "Intel GPU", Maker: Intel, Total: -1, Free: -1, Why: "only administrators can see how much of its memory is used"})
	}
	return devices
}

// amd reads the amdgpu driver's files. An APU has little memory of its own and uses
// the machine's.
func amd(dir string, d *Device) {
	const little, much = 4 << 30, 8 << 30
	total, used := size(dir, "mem_info_vram_total"), size(dir, "mem_info_vram_used")
	gtt, gttUsed := size(dir, "mem_info_gtt_total"), size(dir, "mem_info_gtt_used")
	if total >= 0 && total <= little && gtt >= much && gtt >= 4*total {
		total, used, d.Unified = gtt, gttUsed, true
	}
	if total < 0 || used < 0 {
		d.Why = "the driver does not report its memory"
		return
	}
	d.Total, d.Free = total, total-used
}

func text(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func size(dir, file string) int64 {
	n, err := strconv.ParseInt(text(dir, file), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// hasNVIDIA reports whether NVIDIA's driver is there without a device in sysfs, as in WSL and containers.
func hasNVIDIA(root string) bool {
	for _, m := range Present(root) {
		if m == NVIDIA {
			return true
		}
	}
	return false
}
