package network

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// routes are the kernel's, as netlink tells them.
func routes(family int) ([]byte, error) { return syscall.NetlinkRIB(unix.RTM_GETROUTE, family) }

// isFull tells that messages were lost: more came than were read.
func isFull(err error) bool { return errors.Is(err, unix.ENOBUFS) }
