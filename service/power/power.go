// Package power reads a laptop's batteries.
package power

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// System is where Linux describes batteries. Elsewhere there is no such folder.
const System = "/sys/class/power_supply"

// Battery is one battery of this machine.
type Battery struct {
	Charge      int // per cent
	Discharging bool
}

// Batteries reads all batteries; none where the system does not tell, as on a desktop.
func Batteries(dir string) (all []Battery) {
	folders, _ := filepath.Glob(filepath.Join(dir, "BAT*"))
	for _, folder := range folders {
		text := func(name string) string {
			data, _ := os.ReadFile(filepath.Join(folder, name))
			return strings.TrimSpace(string(data))
		}
		if charge, err := strconv.Atoi(text("capacity")); err == nil {
			all = append(all, Battery{charge, text("status") == "Discharging"})
		}
	}
	return all
}
