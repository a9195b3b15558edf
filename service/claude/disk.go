package claude

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// disk does the file operations of a switch, one at a time, so that a test can
// kill or fail the process before and after each of them.
type disk struct {
	step func(when, op, path string) error
}

func (d disk) do(op, path string, f func() error) error {
	if d.step == nil {
		return f()
	}
	if err := d.step("before", op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	if err := f(); err != nil {
		return err
	}
	if err := d.step("after", op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

// write makes a new file, durable before it returns. like, when not nil, gives mode and owner.
func (d disk) write(path string, data []byte, like fs.FileInfo) (err error) {
	var f *os.File
	if err := d.do("create", path, func() (err error) {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return err
	}); err != nil {
		if f != nil {
			f.Close()
			os.Remove(path)
		}
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(path)
		}
	}()
	if like != nil {
		if err := d.do("chmod", path, func() error { return sameOwnerAndMode(f, like) }); err != nil {
			return err
		}
	}
	if err := d.do("write", path, func() error { _, err := f.Write(data); return err }); err != nil {
		return err
	}
	if err := d.do("fsync", path, f.Sync); err != nil {
		return err
	}
	return d.do("close", path, f.Close)
}

// publish moves a finished file to its place, whatever stood there.
func (d disk) publish(temp, path string) error {
	return d.do("rename", path, func() error { return os.Rename(temp, path) })
}

func (d disk) syncDir(dir string) error {
	return d.do("fsync folder", dir, func() error { return syncFolder(dir) })
}

func (d disk) remove(path string) error {
	return d.do("remove", path, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// errOvertaken says that another program wrote the file in the meantime.
var errOvertaken = errors.New("another program changed it in the meantime")

// swap puts temp, whose content is ours, in path's place if path still holds
// what is expected (nil: no file), else it returns errOvertaken. Where the
// system can exchange two files no change is lost even between the look and the
// move: it comes back in the exchange and is put in its place again. temp is
// gone afterwards, except when the exchange fails or the process is killed.
func (d disk) swap(temp, path string, ours, expect []byte) error {
	now, err := readIfExists(path)
	if err != nil {
		os.Remove(temp)
		return err
	}
	if (now == nil) != (expect == nil) || !bytes.Equal(now, expect) {
		os.Remove(temp)
		return errOvertaken
	}
	if expect == nil {
		return d.place(temp, path)
	}
	put, due := ours, expect
	for round := 0; ; round++ {
		err := d.do("exchange", path, func() error { return exchange(temp, path) })
		if errors.Is(err, errors.ErrUnsupported) && round == 0 {
			return d.publish(temp, path)
		}
		if err != nil {
			return err // what temp holds now is for recovery to judge
		}
		got, err := os.ReadFile(temp)
		if err != nil {
			return err
		}
		if bytes.Equal(got, due) {
			if err := d.remove(temp); err != nil || round == 0 {
				return err
			}
			return errOvertaken
		}
		put, due = got, put
	}
}

// place moves temp to a path where no file stands yet.
func (d disk) place(temp, path string) error {
	err := d.do("rename", path, func() error { return renameIfAbsent(temp, path) })
	if errors.Is(err, errors.ErrUnsupported) {
		if _, err := os.Lstat(path); err == nil {
			os.Remove(temp)
			return errOvertaken
		}
		return d.publish(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return errOvertaken
	}
	return err
}

func readIfExists(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// resolve follows a file's links to the place a write must go to, which may not exist yet.
func resolve(path string) (string, error) {
	for range 40 {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "follow", Path: path, Err: errors.New("too many links")}
}
