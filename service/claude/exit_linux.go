package claude

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// WaitExit returns nil when the session's process has ended, or the context's error.
func WaitExit(ctx context.Context, s Session) error {
	fd, err := unix.PidfdOpen(s.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return pollExit(ctx, s)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer func() {
		if stop() {
			_ = f.Close()
		}
	}()
	if !running(s) {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return pollExit(ctx, s)
	}
	err = conn.Read(func(fd uintptr) bool { // the runtime's poller wakes this, no thread waits
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
