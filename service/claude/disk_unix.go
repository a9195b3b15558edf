//go:build linux || darwin

package claude

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// linkError reports file systems that lack the operation as ErrUnsupported.
func linkError(from, to string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOTSUP):
		return errors.ErrUnsupported
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}

func sameOwnerAndMode(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return f.Chmod(like.Mode().Perm())
	}
	have, err := f.Stat()
	if err != nil {
		return err
	}
	if is := have.Sys().(*syscall.Stat_t); is.Uid != want.Uid || is.Gid != want.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(like.Mode().Perm())
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
