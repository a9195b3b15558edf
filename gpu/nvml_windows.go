package gpu

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// readNVML asks NVIDIA's library, which its driver puts into the system's folder.
// library names another one.
func readNVML(library string) ([]Device, error) {
	dll := windows.NewLazySystemDLL("nvml.dll")
	if library != "" {
		dll = windows.NewLazyDLL(library)
	}
	var calls [6]*windows.LazyProc
	for i, name := range []string{"nvmlInit_v2", "nvmlShutdown", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo"} {
		if calls[i] = dll.NewProc(name); calls[i].Find() != nil {
			return nil, errors.New("NVIDIA's driver is not installed, or too old: there is no " + name)
		}
	}
	open, end, count, handle, title, memory := calls[0], calls[1], calls[2], calls[3], calls[4], calls[5]
	if ret, _, _ := open.Call(); ret != 0 {
		return nil, fmt.Errorf("NVIDIA's driver does not start: error %d", ret)
	}
	defer func() { _, _, _ = end.Call() }()
	var n uint32
	if ret, _, _ := count.Call(uintptr(unsafe.Pointer(&n))); ret != 0 {
		return nil, fmt.Errorf("NVIDIA's driver does not list its GPUs: error %d", ret)
	}
	devices := []Device{}
	for i := range n {
		d := Device{Name: "NVIDIA GPU", Maker: NVIDIA, Total: -1, Free: -1}
		var device uintptr
		if ret, _, _ := handle.Call(uintptr(i), uintptr(unsafe.Pointer(&device))); ret == 0 {
			var text [96]byte
			if ret, _, _ := title.Call(device, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text))); ret == 0 {
				d.Name = windows.ByteSliceToString(text[:])
			}
			var m struct{ Total, Free, Used uint64 } // nvmlMemory_t
			if ret, _, _ := memory.Call(device, uintptr(unsafe.Pointer(&m))); ret == 0 {
				d.Total, d.Free = int64(m.Total), int64(m.Free)
			} else {
				d.Why = fmt.Sprintf("the driver does not report its memory: error %d", ret)
			}
		}
		devices = append(devices, d)
	}
	return devices, nil
}
