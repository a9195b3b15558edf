package power

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestBatteries(t *testing.T) {
	dir := t.TempDir()
	if got := Batteries(dir); got != nil {
		t.Errorf("a desktop has %v", got)
	}
	for name, text := range map[string]string{
		"BAT0/capacity": "29\n", "BAT0/status": "Discharging\n",
		"BAT1/capacity": "80\n", "BAT1/status": "Charging\n",
		"BAT2/capacity": "much\n",
		"AC/capacity":   "1\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := Batteries(dir), []Battery{{29, true}, {80, false}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
