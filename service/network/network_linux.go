package network

import (
	"context"
	"encoding/binary"
	"os"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/switchyard-app/switchyard/service/wake"
)

// Watch tells the reach at once and whenever it may have changed, until the context
// ends. The kernel's routes decide; where NetworkManager runs, it tells a portal.
func Watch(ctx context.Context, tell func(Reach)) error {
	events, err := subscribe()
	if err != nil {
		return err
	}
	var owned sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = events.Close() })
	defer func() {
		stop()
		_ = events.Close() // what was stopped may not have run
		owned.Wait()
	}()
	changed := make(chan struct{}, 1)
	wish := func() { wake.Notify(changed) }
	owned.Go(func() {
		for buffer := make([]byte, 1<<16); ; {
			if _, err := events.Read(buffer); err != nil && ctx.Err() != nil {
				return
			} else if err != nil && !isFull(err) {
				_ = events.Close()
				return
			}
			wish()
		}
	})
	manager := watchManager(ctx, wish, &owned)
	for {
		tell(judge(hasDefaultRoute(), manager.connectivity()))
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// NetworkManager's words for how far it gets (NMConnectivityState).
const (
	connectivityNone    = 1
	connectivityPortal  = 2
	connectivityLimited = 3
)

// judge weighs the kernel's routes and NetworkManager's word, 0 where it has none.
func judge(route bool, connectivity uint32) Reach {
	switch {
	case !route:
		return Offline
	case connectivity == connectivityPortal:
		return Portal
	case connectivity == connectivityNone || connectivity == connectivityLimited:
		return Offline
	}
	return Online
}

// subscribe opens the kernel's news of links and routes.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("netlink", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// hasDefaultRoute reports whether packets to anywhere have a way.
func hasDefaultRoute() bool {
	const headerLen, routeLen = 16, 12 // struct nlmsghdr, struct rtmsg
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		data, err := routes(family)
		if err != nil {
			continue
		}
		for len(data) >= headerLen+routeLen {
			length := int(binary.NativeEndian.Uint32(data))
			kind := binary.NativeEndian.Uint16(data[4:])
			if length < headerLen || length > len(data) || kind == unix.NLMSG_DONE {
				break
			}
			route := data[headerLen:length]
			if kind == unix.RTM_NEWROUTE && len(route) >= routeLen && route[1] == 0 && route[7] == unix.RTN_UNICAST {
				return true // of any length 0: to everywhere
			}
			data = data[(length+3)&^3:]
		}
	}
	return false
}

// watchManager follows NetworkManager where it runs.
func watchManager(ctx context.Context, changed func(), owned *sync.WaitGroup) *manager {
	m := &manager{}
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return m
	}
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	_ = conn.AddMatchSignal(dbus.WithMatchSender(managerName), dbus.WithMatchObjectPath(managerPath))
	_ = conn.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, managerName))
	m.object = conn.Object(managerName, managerPath)
	owned.Go(func() {
		defer conn.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-signals:
				if !ok {
					return // the bus is gone: the kernel's word remains
				}
				changed()
			}
		}
	})
	return m
}

const (
	managerName = "org.freedesktop.NetworkManager"
	managerPath = dbus.ObjectPath("/org/freedesktop/NetworkManager")
)

type manager struct{ object dbus.BusObject }

// connectivity is 0 where NetworkManager does not run, or does not know.
func (m *manager) connectivity() (state uint32) {
	if m.object == nil {
		return 0
	}
	const noAutoStart = dbus.FlagNoAutoStart
	var value dbus.Variant
	if m.object.Call("org.freedesktop.DBus.Properties.Get", noAutoStart, managerName, "Connectivity").Store(&value) != nil {
		return 0
	}
	state, _ = value.Value().(uint32)
	return state
}
