package gpu

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPresent(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  []Maker
	}{
		{"none", nil, nil},
		{"one of Intel's", map[string]string{"sys/class/drm/card0/device/vendor": "0x8086\n"}, nil},
		{"a laptop with two", map[string]string{"sys/class/drm/card0/device/vendor": "0x8086\n", "sys/class/drm/card1/device/vendor": "0x10de\n"}, []Maker{NVIDIA}},
		{"AMD", map[string]string{"sys/class/drm/card0/device/vendor": "0x1002\n"}, []Maker{AMD}},
		{"without a display", map[string]string{"dev/nvidiactl": ""}, []Maker{NVIDIA}},
	}
	for _, tt := range tests {
		root := t.TempDir()
		for file, text := range tt.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := Present(root); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
