//go:build amd64 || arm64

package fence

import (
	"fmt"
	"runtime"
	"slices"
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
	return bpf.Assemble(link([]step{
		load(callArch),
		when(bpf.JumpEqual, arch, "number"),
		ret(absent),
		load(callNumber).named("number"),
		when(bpf.JumpGreaterOrEqual, foreign, "absent"),
		when(bpf.JumpEqual, unix.SYS_IO_URING_SETUP, "absent"),
		when(bpf.JumpEqual, unix.SYS_CONNECT, "ask"),
		when(bpf.JumpEqual, unix.SYS_SENDMSG, "ask"),
		when(bpf.JumpEqual, unix.SYS_SENDMMSG, "ask"),
		when(bpf.JumpEqual, unix.SYS_SENDTO, "sendto"),
		ret(free),
		// With an address, or short enough for a question.
		load(arg(4)).named("sendto"),
		when(bpf.JumpNotEqual, 0, "ask"),
		load(arg(4) + 4),
		when(bpf.JumpNotEqual, 0, "ask"),
		load(arg(2)),
		when(bpf.JumpLessOrEqual, longestQuestion, "ask"),
		ret(free),
		ret(ask).named("ask"),
		ret(absent).named("absent"),
	}))
}

// step is one instruction of a filter.
type step struct {
	bpf.Instruction
	name string // where jumps can go; empty: no jump goes here
	to   string // of a jump: where it goes when its condition holds; else the next step follows
}

func (s step) named(name string) step {
	s.name = name
	return s
}

func load(offset uint32) step { return step{Instruction: bpf.LoadAbsolute{Off: offset, Size: 4}} }

func ret(value uint32) step { return step{Instruction: bpf.RetConstant{Val: value}} }

func when(cond bpf.JumpTest, value uint32, to string) step {
	return step{Instruction: bpf.JumpIf{Cond: cond, Val: value}, to: to}
}

// link counts the steps that each jump skips; jumps only go forward.
func link(steps []step) []bpf.Instruction {
	at := map[string]int{}
	linked := make([]bpf.Instruction, len(steps))
	for i, s := range slices.Backward(steps) {
		if jump, ok := s.Instruction.(bpf.JumpIf); ok {
			jump.SkipTrue = uint8(at[s.to] - i - 1)
			s.Instruction = jump
		}
		if s.name != "" {
			at[s.name] = i
		}
		linked[i] = s.Instruction
	}
	return linked
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
