package network

import (
	"context"
	"net/netip"
	"os"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// Watch tells the reach at once and whenever the kernel's routes change, until the
// context ends. macOS tells portals to its own programs only.
func Watch(ctx context.Context, tell func(Reach)) error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return os.NewSyscallError("route socket", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("route socket", err)
	}
	events := os.NewFile(uintptr(fd), "route")
	stop := context.AfterFunc(ctx, func() { _ = events.Close() })
	defer func() {
		stop()
		_ = events.Close()
	}()
	for buffer := make([]byte, 1<<14); ; {
		reach := Offline
		if hasDefaultRoute() {
			reach = Online
		}
		tell(reach)
		if _, err := events.Read(buffer); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// hasDefaultRoute reports whether packets to anywhere have a way.
func hasDefaultRoute() bool {
	rib, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return false
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, rib)
	if err != nil {
		return false
	}
	for _, m := range messages {
		r, ok := m.(*route.RouteMessage)
		if !ok || r.Flags&unix.RTF_UP == 0 || r.Flags&unix.RTF_GATEWAY == 0 || len(r.Addrs) == 0 {
			continue
		}
		var to netip.Addr
		switch a := r.Addrs[unix.RTAX_DST].(type) {
		case *route.Inet4Addr:
			to = netip.AddrFrom4(a.IP)
		case *route.Inet6Addr:
			to = netip.AddrFrom16(a.IP)
		}
		if to.IsValid() && to.IsUnspecified() {
			return true
		}
	}
	return false
}
