package gpu

import (
	"os"
	"path/filepath"
)

// Present names the makers of the GPUs that the kernel knows. It wakes none of
// them. root is the file system's, "/" but in tests.
func Present(root string) (makers []Maker) {
	seen := map[Maker]bool{}
	found := func(m Maker) {
		if !seen[m] {
			seen[m] = true
			makers = append(makers, m)
		}
	}
	files, _ := filepath.Glob(filepath.Join(root, "sys/class/drm/card*/device/vendor"))
	for _, file := range files {
		if id, err := os.ReadFile(file); err == nil {
			if m, ok := byVendor(string(id)); ok {
				found(m)
			}
		}
	}
	// A computing card without a display, and WSL, have no entry there.
	for _, file := range []string{"dev/nvidiactl", "dev/dxg"} {
		if _, err := os.Stat(filepath.Join(root, file)); err == nil {
			found(NVIDIA)
		}
	}
	return makers
}
