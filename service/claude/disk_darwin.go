package claude

import "golang.org/x/sys/unix"

func exchange(a, b string) error {
	return linkError(a, b, unix.RenamexNp(a, b, unix.RENAME_SWAP))
}

func renameIfAbsent(from, to string) error {
	return linkError(from, to, unix.RenamexNp(from, to, unix.RENAME_EXCL))
}
