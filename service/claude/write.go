package claude

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// write makes the record durable, moves the new file into place and commits.
func (f folder) write(e, current *entry, real string, now, base, after []byte) (err error) {
	if e.Before, err = f.keepBefore(base); err != nil {
		return err
	}
	e.After = sum(after)
	e.Real = real
	dir := filepath.Dir(real)
	if missing(dir) {
		e.MadeDir = true
	}
	e.Temp = filepath.Join(dir, fmt.Sprintf(".%s.switchyard-%d-%d", filepath.Base(real), os.Getpid(), e.Switched.UnixNano()))
	if err := f.savePending(e); err != nil {
		return err
	}
	if err := f.install(e.Agent); err != nil {
		return err
	}
	if err := f.move(e, now, after); err != nil {
		return err
	}
	if err := f.retire(current, e); err != nil {
		return err
	}
	return f.commit(e)
}

func (f folder) move(e *entry, now, after []byte) error {
	if sameBytes(now, after) {
		return nil
	}
	dir := filepath.Dir(e.Real)
	if after == nil {
		return f.removeFile(e, now)
	}
	if missing(dir) {
		if err := f.disk.do("mkdir", dir, func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
			return err
		}
	}
	var like fs.FileInfo
	if now != nil {
		info, err := os.Stat(e.Real)
		if errors.Is(err, fs.ErrNotExist) {
			return errOvertaken
		}
		if err != nil {
			return err
		}
		like = info
	}
	if err := f.disk.write(e.Temp, after, like); err != nil {
		return err
	}
	if err := f.disk.swap(e.Temp, e.Real, after, now); err != nil {
		return err
	}
	return f.disk.syncDir(dir)
}

// removeFile takes a settings file away that Switchyard had made: first aside,
// then, if it is still what it was, for good.
func (f folder) removeFile(e *entry, now []byte) error {
	if err := f.disk.do("set aside", e.Real, func() error { return os.Rename(e.Real, e.Temp) }); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errOvertaken
		}
		return err
	}
	aside, err := os.ReadFile(e.Temp)
	if err != nil {
		return err
	}
	if !bytes.Equal(aside, now) {
		return errors.Join(errOvertaken, f.disk.place(e.Temp, e.Real))
	}
	if err := f.disk.remove(e.Temp); err != nil {
		return err
	}
	if e.MadeDir {
		_ = os.Remove(filepath.Dir(e.Real)) // stays when there is something in it
	}
	return f.disk.syncDir(filepath.Dir(e.Real))
}

// sameBytes tells "no file" and "empty file" apart.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func whyNotWritten(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &Refusal{File: file, Why: "no permission to write it and keep its owner and mode", Remedy: "check the file's and its folder's owner and mode"}
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: the disk is full; free some space and try again: %w", file, err)
	}
	return fmt.Errorf("%s was not written; try again: %w", file, err)
}
