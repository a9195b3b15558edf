//go:build unix

package config

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestAFileIsReplacedWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made", "model")
	var writers sync.WaitGroup
	for _, text := range []string{"one", "two", "three"} {
		writers.Go(func() {
			for range 20 {
				if err := WriteAtomic(file, []byte(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	data, err := os.ReadFile(file)
	if got := string(data); err != nil || got != "one" && got != "two" && got != "three" {
		t.Errorf("%q, %v", got, err)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := os.Mkdir(file+"s", 0o700); err != nil {
		t.Fatal(err)
	}
	if WriteAtomic(file+"s", nil) == nil {
		t.Error("it replaced a folder")
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 2 {
		t.Errorf("%v is left after a failure", left)
	}
}
