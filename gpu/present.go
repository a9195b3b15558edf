// Package gpu knows the machine's graphics processors.
package gpu

import "strings"

// Maker is the maker of a GPU that can compute models.
type Maker string

const (
	NVIDIA Maker = "NVIDIA"
	AMD    Maker = "AMD"
	Intel  Maker = "Intel"
	Apple  Maker = "Apple"
)

// byVendor tells a PCI vendor's number, as sysfs writes it.
func byVendor(id string) (Maker, bool) {
	switch strings.TrimSpace(id) {
	case "0x10de":
		return NVIDIA, true
	case "0x1002":
		return AMD, true
	}
	return "", false
}
