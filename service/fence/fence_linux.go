//go:build amd64 || arm64

package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Available tells whether a program can be fenced here: seccomp's watcher, Linux 5.6.
func Available() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		return fmt.Errorf("this kernel lets no program's calls be watched (seccomp): %w", errno)
	}
	return nil
}

// theLine is the descriptor by which a fenced program's watcher is handed over.
const theLine = 3

// Run runs a command that begins with Become, and returns when it has ended. seen
// hears what it connects to on this machine, with the process; it may be nil. What of
// its processes is left when the command ends can reach nobody from then on.
//
// A program that means harm can deceive the watcher, by changing an address while it
// is looked at; this shows what a program does, it is no prison.
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

// descriptor is an open file of a process.
type descriptor struct{ pid, fd int }

type watcher struct {
	*journal
	seen      func(pid int, address string)
	asking    map[descriptor]bool // sockets that were led to the resolvers below
	resolvers []*net.UDPConn      // for IPv4 and IPv6; they answer that there is nobody to ask
	answering sync.WaitGroup
}

// watch answers the kernel until nobody is left who could ask, or end is closed.
func (w *watcher) watch(listener, end int) {
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(end), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || poll[0].Revents&unix.POLLIN == 0 {
			return
		}
		var c call
		if ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, &c) != nil {
			continue // whoever asked is gone
		}
		a := answer{ID: c.ID}
		switch errno := w.decide(listener, &c); errno {
		case 0:
			a.Flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		case done:
		default:
			a.Error = -int32(errno)
		}
		_ = ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, &a) // it may be gone meanwhile
	}
}

// done says that the watcher did what was asked for itself.
const done = unix.Errno(0xffff)

// decide returns the error that a call gets; 0 lets it happen.
func (w *watcher) decide(listener int, c *call) unix.Errno {
	p := &process{tid: int(c.PID)}
	fd := int(int32(c.Args[0]))
	switch c.Nr {
	case unix.SYS_CONNECT:
		return w.connect(listener, c, p, fd, p.read(c.Args[1], c.Args[2], maxAddress))
	case unix.SYS_SENDTO:
		return w.send(p, fd, p.read(c.Args[4], c.Args[5], maxAddress), p.read(c.Args[1], c.Args[2], longestQuestion))
	case unix.SYS_SENDMSG:
		return w.sendMessage(p, fd, c.Args[1])
	case unix.SYS_SENDMMSG:
		const size, most = 64, 16
		for i := range min(c.Args[2], most) {
			if errno := w.sendMessage(p, fd, c.Args[1]+i*size); errno != 0 {
				return errno
			}
		}
	}
	return 0
}

const maxAddress = 128 // struct sockaddr_storage

// sendMessage is a send whose address and data stand in a struct msghdr.
func (w *watcher) sendMessage(p *process, fd int, at uint64) unix.Errno {
	header := p.read(at, 32, 32)
	if len(header) < 32 {
		return unix.EFAULT
	}
	word := binary.NativeEndian.Uint64
	var data []byte
	if part := p.read(word(header[16:]), 16, 16); len(part) == 16 && word(header[24:]) > 0 {
		data = p.read(word(part), word(part[8:]), longestQuestion)
	}
	return w.send(p, fd, p.read(word(header), uint64(binary.NativeEndian.Uint32(header[8:])), maxAddress), data)
}

// send is data with an address, or on a socket that was connected before.
func (w *watcher) send(p *process, fd int, address, data []byte) unix.Errno {
	if len(address) == 0 {
		if len(w.asking) == 0 || !w.asking[descriptor{p.group(), fd}] {
			return 0
		}
		w.tried(Attempt{Kind: Lookup, Name: question(data), Program: p.name()})
		return unix.ECONNREFUSED
	}
	family, to, _, ok := parseAddress(address)
	switch {
	case ok && (family == familyUnix || family == unix.AF_UNSPEC || family == unix.AF_NETLINK):
		return 0
	case !ok || !to.IsValid():
		w.strange(p, family)
		return unix.EAFNOSUPPORT
	}
	switch judge(to) {
	case lookup:
		w.tried(Attempt{Kind: Lookup, Name: question(data), Program: p.name()})
		return unix.ECONNREFUSED
	case refuse:
		w.tried(Attempt{Kind: Connection, Address: to.String(), Protocol: "udp", Program: p.name()})
		return unix.ENETUNREACH
	}
	return 0
}

func (w *watcher) connect(listener int, c *call, p *process, fd int, address []byte) unix.Errno {
	family, to, path, ok := parseAddress(address)
	switch {
	case ioctl(listener, idValid, &c.ID) != nil:
		return unix.EINTR // whoever asked is gone
	case !ok:
		w.strange(p, family)
		return unix.EAFNOSUPPORT
	case family == familyUnix:
		switch judgeSocket(path) {
		case lookup:
			w.tried(Attempt{Kind: Lookup, Program: p.name()})
			return unix.ECONNREFUSED
		case refuse:
			return unix.ECONNREFUSED
		}
		w.reached(path)
		return 0
	case family == unix.AF_UNSPEC || family == unix.AF_NETLINK:
		delete(w.asking, descriptor{p.group(), fd})
		return 0
	case !to.IsValid():
		w.strange(p, family)
		return unix.EAFNOSUPPORT
	}
	delete(w.asking, descriptor{p.group(), fd})
	switch judge(to) {
	case lookup:
		return w.lead(p, fd, family)
	case refuse:
		w.tried(Attempt{Kind: Connection, Address: to.String(), Protocol: p.protocol(fd), Program: p.name()})
		return unix.ENETUNREACH
	}
	w.reached(to.String())
	if w.seen != nil {
		w.seen(p.group(), to.String())
	}
	return 0
}

// strange is an address that nobody here understands.
func (w *watcher) strange(p *process, family int) {
	w.tried(Attempt{Kind: Connection, Address: "an address of family " + strconv.Itoa(family), Program: p.name()})
}

// lead connects a program's socket to a resolver of ours in place of the one that it
// wants: so its question can be read, whatever it is sent by.
func (w *watcher) lead(p *process, fd, family int) unix.Errno {
	copied, err := p.descriptor(fd)
	if err != nil {
		w.tried(Attempt{Kind: Lookup, Program: p.name()})
		return unix.ECONNREFUSED
	}
	defer unix.Close(copied)
	if protocolOf(copied) != "udp" {
		w.tried(Attempt{Kind: Lookup, Program: p.name()})
		return unix.ECONNREFUSED
	}
	var at unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: w.port(0)}
	if family == familyInet6 {
		at = &unix.SockaddrInet6{Addr: netip.IPv6Loopback().As16(), Port: w.port(1)}
	}
	if unix.Connect(copied, at) != nil {
		w.tried(Attempt{Kind: Lookup, Program: p.name()})
		return unix.ECONNREFUSED
	}
	w.asking[descriptor{p.group(), fd}] = true
	return done
}

func (w *watcher) port(i int) int {
	if i >= len(w.resolvers) {
		return 0 // no IPv6 here
	}
	return w.resolvers[i].LocalAddr().(*net.UDPAddr).Port
}

func (w *watcher) openResolvers(ctx context.Context) error {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", host)
		if err != nil && len(w.resolvers) == 0 {
			return err
		} else if err != nil {
			return nil // a machine without IPv6
		}
		udp := conn.(*net.UDPConn)
		w.resolvers = append(w.resolvers, udp)
		w.answering.Go(func() { w.refuseAll(udp) })
	}
	return nil
}

func (w *watcher) closeResolvers() {
	for _, conn := range w.resolvers {
		_ = conn.Close()
	}
	w.answering.Wait()
}

// refuseAll answers those who did not send by a call that asks.
func (w *watcher) refuseAll(conn *net.UDPConn) {
	for buffer := make([]byte, 4096); ; {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		w.tried(Attempt{Kind: Lookup, Name: question(buffer[:n]), Program: "a program"})
		_, _ = conn.WriteToUDPAddrPort(refusal(buffer[:n]), from)
	}
}

// process is who asks: a thread.
type process struct {
	tid   int
	tgid  int
	whose string
}

// read copies from its memory, at most a length.
func (p *process) read(at, length uint64, most int) []byte {
	if at == 0 || length == 0 {
		return nil
	}
	buffer := make([]byte, min(length, uint64(most)))
	local := []unix.Iovec{{Base: &buffer[0]}}
	local[0].SetLen(len(buffer))
	n, err := unix.ProcessVMReadv(p.tid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(buffer)}}, 0)
	if err != nil {
		return []byte{0xff} // no address that is let through
	}
	return buffer[:n]
}

// group is the process that the thread belongs to.
func (p *process) group() int {
	if p.tgid == 0 {
		p.tgid = p.tid
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.tid))
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(line, "Tgid:"); ok {
				p.tgid, _ = strconv.Atoi(strings.TrimSpace(value))
			}
		}
	}
	return p.tgid
}

func (p *process) name() string {
	if p.whose == "" {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.group()))
		if p.whose = strings.TrimSpace(string(data)); p.whose == "" {
			p.whose = "a program"
		}
	}
	return p.whose
}

// descriptor is a copy of one of its descriptors.
func (p *process) descriptor(fd int) (int, error) {
	process, err := unix.PidfdOpen(p.group(), 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(process)
	return unix.PidfdGetfd(process, fd, 0)
}

func (p *process) protocol(fd int) string {
	copied, err := p.descriptor(fd)
	if err != nil {
		return ""
	}
	defer unix.Close(copied)
	return protocolOf(copied)
}

func protocolOf(fd int) string {
	switch kind, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); kind {
	case unix.SOCK_STREAM:
		return "tcp"
	case unix.SOCK_DGRAM:
		return "udp"
	}
	return ""
}
