//go:build amd64 || arm64

package fence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Available reports whether a program can be fenced here: seccomp's watcher, Linux 5.6.
func Available() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		return fmt.Errorf("this kernel cannot watch a program's system calls (seccomp): %w", errno)
	}
	return nil
}

// theLine is the socket by which a fenced program's watcher is handed over.
const theLine = 3

// Run runs a command that begins with Become, and returns when it has ended. seen
// is told what it connects to on this machine, and which process did; it may be nil. Processes
// that outlive the command can reach nothing from then on.
//
// A malicious program can deceive the watcher, by changing an address while it is
// looked at: this shows what a program does, it is not a sandbox.
func Run(ctx context.Context, cmd *exec.Cmd, seen func(pid int, address string)) (Report, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Report{}, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "line"), os.NewFile(uintptr(pair[1]), "line")
	defer ours.Close()
	w := &watcher{journal: newJournal(), seen: seen, asking: map[descriptor]bool{}}
	if err := w.openResolvers(ctx); err != nil {
		_ = theirs.Close()
		return Report{}, err
	}
	defer w.closeResolvers()
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return Report{}, err
	}
	listener, err := receive(ours)
	if err != nil {
		return Report{}, errors.Join(cmd.Wait(), err)
	}
	end, stop, err := os.Pipe()
	if err != nil {
		_ = unix.Close(listener)
		return Report{}, errors.Join(err, cmd.Wait())
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		defer end.Close()
		defer unix.Close(listener)
		w.watch(listener, int(end.Fd()))
	})
	err = cmd.Wait()
	_ = stop.Close()
	watching.Wait()
	return w.journal.report(), err
}

// Become puts up the fence around this process and becomes the program. It returns
// only when that fails.
func Become(program string, args, environ []string) error {
	unix.CloseOnExec(theLine)
	installed, failed := make(chan int), make(chan error, 1)
	sent := make(chan struct{})
	go func() {
		runtime.LockOSThread() // the filter holds for this thread, and for what it becomes
		fd, err := install()
		if err != nil {
			failed <- err
			return
		}
		installed <- fd
		<-sent // by a thread that needs not ask for it
		failed <- fmt.Errorf("starting %s: %w", program, unix.Exec(program, args, environ))
	}()
	select {
	case err := <-failed:
		return err
	case fd := <-installed:
		if err := unix.Sendmsg(theLine, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
			return err
		}
		close(sent)
	}
	return <-failed
}

// receive takes the watcher's descriptor.
func receive(line *os.File) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, length, _, _, err := unix.Recvmsg(int(line.Fd()), make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF // the program says why
	}
	messages, err := unix.ParseSocketControlMessage(rights[:length])
	if err != nil || len(messages) == 0 {
		return 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return fds[0], nil
}
