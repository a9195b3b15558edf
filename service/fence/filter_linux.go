//go:build amd64 || arm64

package fence

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in what a filter sees of a call (struct seccomp_data).
const (
	callNumber = 0
	callArch   = 4
	callArgs   = 16
)

// longestQuestion is what a resolver is asked by UDP at most, in bytes (RFC 1035):
// nothing longer is a question.
const longestQuestion = 512

// program is the filter: calls that may reach another machine ask the watcher, those
// by which a program could get around that do not exist, all others are free.
func program() ([]bpf.RawInstruction, error) {
	const (
		ask    = uint32(unix.SECCOMP_RET_USER_NOTIF)
		absent = uint32(unix.SECCOMP_RET_ERRNO | unix.ENOSYS)
		free   = uint32(unix.SECCOMP_RET_ALLOW)
	)
	arch, foreign := uint32(unix.AUDIT_ARCH_X86_64), uint32(0x4000_0000) // x32's calls begin there
	if runtime.GOARCH == "arm64" {
		arch, foreign = unix.AUDIT_ARCH_AARCH64, 0xffff_ffff
	}
	arg := func(n uint32) uint32 { return callArgs + 8*n } // its lower half: both are little-endian
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: callArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		bpf.RetConstant{Val: absent},
		bpf.LoadAbsolute{Off: callNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: foreign, SkipTrue: 14},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_IO_URING_SETUP, SkipTrue: 13},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CONNECT, SkipTrue: 11},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SENDMSG, SkipTrue: 10},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SENDMMSG, SkipTrue: 9},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SENDTO, SkipTrue: 1},
		bpf.RetConstant{Val: free},
		// sendto: with an address, or short enough for a question.
		bpf.LoadAbsolute{Off: arg(4), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 5},
		bpf.LoadAbsolute{Off: arg(4) + 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 3},
		bpf.LoadAbsolute{Off: arg(2), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: longestQuestion, SkipTrue: 1},
		bpf.RetConstant{Val: free},
		bpf.RetConstant{Val: ask},
		bpf.RetConstant{Val: absent},
	})
}

// install puts the filter on the calling thread, and on all that comes from it, for
// good. It returns the watcher's descriptor.
func install() (int, error) {
	raw, err := program()
	if err != nil {
		return 0, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("giving up privileges: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(raw)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return 0, fmt.Errorf("the kernel cannot watch a program's system calls (seccomp): %w", errno)
	}
	return int(fd), nil
}

// call is what the kernel says of a call that asks (struct seccomp_notif).
type call struct {
	ID    uint64
	PID   uint32 // the thread's
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// answer is what becomes of it (struct seccomp_notif_resp).
type answer struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

const idValid = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID

func ioctl[T any](fd int, request uint, v *T) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(v))); errno != 0 {
		return errno
	}
	return nil
}
