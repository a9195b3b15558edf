//go:build unix

package door

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// inherit makes cmd inherit the gateway's listeners. It will run in its own session, so
// that closing a terminal does not end it.
func inherit(cmd *exec.Cmd, listeners []net.Listener) (release func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles, err = sockets(listeners)
	return func() { closeAll(cmd.ExtraFiles) }, err
}

// sockets are the listeners' files; the caller closes them. A TCPListener's own
// File would not do: what it gives away becomes blocking, here too, and an Accept
// that blocks cannot be ended.
func sockets(listeners []net.Listener) (all []*os.File, err error) {
	for _, l := range listeners {
		raw, err := l.(*net.TCPListener).SyscallConn()
		if err != nil {
			closeAll(all)
			return nil, err
		}
		copied, failed := -1, error(nil)
		if err := raw.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
			closeAll(all)
			return nil, errors.Join(err, failed)
		}
		all = append(all, os.NewFile(uintptr(copied), "listener"))
	}
	return all, nil
}

func closeAll(all []*os.File) {
	for _, f := range all {
		_ = f.Close()
	}
}

// Inherited returns the n listeners that this process inherited.
func Inherited(n int) []net.Listener {
	const first = 3 // after stdin, stdout and stderr
	var fds []int
	for fd := first; fd < first+n; fd++ {
		fds = append(fds, fd)
	}
	return listenersOf(fds)
}

func listenersOf(fds []int) (all []net.Listener) {
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "listener")
		if l, err := net.FileListener(f); err == nil {
			all = append(all, l)
		}
		_ = f.Close()
	}
	return all
}

// maxListeners is one for each loopback address.
const maxListeners = 2

// handOver sends the listeners over a local socket, so that their port never closes.
func handOver(conn net.Conn, listeners []net.Listener) error {
	all, err := sockets(listeners)
	if err != nil {
		return err
	}
	defer closeAll(all)
	var fds []int
	for _, f := range all {
		fds = append(fds, int(f.Fd()))
	}
	_, _, err = conn.(*net.UnixConn).WriteMsgUnix([]byte{'.'}, syscall.UnixRights(fds...), nil)
	return err
}

// takeOver receives what handOver sends. ok is false if the other side is not a guard.
func takeOver(conn net.Conn) (listeners []net.Listener, ok bool) {
	rights := make([]byte, syscall.CmsgSpace(4*maxListeners))
	first := make([]byte, 1)
	n, m, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(first, rights)
	if err != nil || n != 1 || first[0] != '.' {
		return nil, false
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return nil, true
	}
	for _, message := range messages {
		fds, err := syscall.ParseUnixRights(&message)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
		}
		listeners = append(listeners, listenersOf(fds)...)
	}
	return listeners, true
}
