//go:build amd64 || arm64

package fence

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is the thread that asks.
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
