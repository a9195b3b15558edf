package network

import (
	"context"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/switchyard-app/switchyard/service/wake"
)

var (
	helper    = windows.NewLazySystemDLL("iphlpapi.dll")
	getHint   = helper.NewProc("GetNetworkConnectivityHint") // Windows 10 of 2020
	notify    = helper.NewProc("NotifyNetworkConnectivityHintChange")
	endNotify = helper.NewProc("CancelMibChangeNotify2")
)

// hint is a NL_NETWORK_CONNECTIVITY_HINT.
type hint struct {
	level, cost                   int32
	approaching, over, roaming, _ uint8
}

// NL_NETWORK_CONNECTIVITY_LEVEL_HINT
const (
	levelNone        = 1
	levelLocal       = 2
	levelInternet    = 3
	levelConstrained = 4 // a portal, says the documentation
)

var (
	watching sync.Mutex // one Watch at a time: a callback is never freed
	heard    = make(chan struct{}, 1)
	callback = sync.OnceValue(func() uintptr {
		// The hint comes by value, which differs between processors: it is asked for instead.
		return windows.NewCallback(func(_, _, _ uintptr) uintptr {
			wake.Notify(heard)
			return 0
		})
	})
)

// Watch tells the reach at once and whenever Windows says that it changed, until the
// context ends.
func Watch(ctx context.Context, tell func(Reach)) error {
	for _, proc := range []*windows.LazyProc{getHint, notify, endNotify} {
		if err := proc.Find(); err != nil {
			return err
		}
	}
	watching.Lock()
	defer watching.Unlock()
	var handle windows.Handle
	if code, _, _ := notify.Call(callback(), 0, 1, uintptr(unsafe.Pointer(&handle))); code != 0 {
		return windows.Errno(code)
	}
	defer func() { _, _, _ = endNotify.Call(uintptr(handle)) }()
	for {
		tell(reach())
		select {
		case <-ctx.Done():
			return nil
		case <-heard:
		}
	}
}

func reach() Reach {
	var h hint
	if code, _, _ := getHint.Call(uintptr(unsafe.Pointer(&h))); code != 0 {
		return Unknown
	}
	switch h.level {
	case levelNone, levelLocal:
		return Offline
	case levelInternet:
		return Online
	case levelConstrained:
		return Portal
	}
	return Unknown
}
