//go:build !windows

package autostart

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// put writes a record whole, with its folder.
func put(file, record string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temp := file + ".new"
	if err := os.WriteFile(temp, []byte(record), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// remove takes a record away, if there is one.
func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
