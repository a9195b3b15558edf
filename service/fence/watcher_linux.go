//go:build amd64 || arm64

package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// descriptor names an open file, which its number does only within its process.
type descriptor struct{ pid, fd int }

type watcher struct {
	*journal
	seen      func(pid int, address string)
	asking    map[descriptor]bool // sockets that were led to the resolvers below
	resolvers []*net.UDPConn      // for IPv4 and IPv6; they answer every question with a failure
	answering sync.WaitGroup
}

// watch answers the kernel until no fenced process is left, or end is closed.
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

// strange notes an address of a family that is not understood here.
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

// refuseAll answers the lookups of sockets that were led here.
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
