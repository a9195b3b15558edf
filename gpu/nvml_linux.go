//go:build linux && cgo

package gpu

// #cgo LDFLAGS: -ldl
import "C"

import (
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// readNVML asks NVIDIA's library. It holds no handle afterwards.
func readNVML(library string) ([]Device, error) {
	var options []nvml.LibraryOption
	if library != "" {
		options = append(options, nvml.WithLibraryPath(library))
	}
	lib := nvml.New(options...)
	if ret := lib.Init(); ret != nvml.SUCCESS {
		return nil, errors.New("NVIDIA's driver does not start: " + nvmlWhy(ret))
	}
	defer func() { _ = lib.Shutdown() }()
	count, ret := lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, errors.New("NVIDIA's driver does not list its GPUs: " + nvmlWhy(ret))
	}
	devices := []Device{}
	for i := range count {
		d := Device{Name: "NVIDIA GPU", Maker: NVIDIA, Total: -1, Free: -1}
		handle, ret := lib.DeviceGetHandleByIndex(i)
		if ret == nvml.SUCCESS {
			if name, ret := handle.GetName(); ret == nvml.SUCCESS {
				d.Name = name
			}
			var memory nvml.Memory
			if memory, ret = handle.GetMemoryInfo(); ret == nvml.SUCCESS {
				d.Total, d.Free = int64(memory.Total), int64(memory.Free)
			}
		}
		if parts := migDevices(handle, d.Name); len(parts) > 0 {
			devices = append(devices, parts...)
			continue
		}
		if ret != nvml.SUCCESS {
			d.Why = "the driver does not report its memory: " + nvmlWhy(ret)
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// migDevices are the MIG devices that a GPU is cut into; none when it is whole, or the driver is older than MIG.
func migDevices(handle nvml.Device, name string) (devices []Device) {
	if handle == nil {
		return nil
	}
	if on, _, ret := handle.GetMigMode(); ret != nvml.SUCCESS || on != nvml.DEVICE_MIG_ENABLE {
		return nil
	}
	most, ret := handle.GetMaxMigDeviceCount()
	if ret != nvml.SUCCESS {
		return nil
	}
	for i := range most {
		part, ret := handle.GetMigDeviceHandleByIndex(i)
		if ret != nvml.SUCCESS {
			continue // not made
		}
		d := Device{Name: name + " (MIG)", Maker: NVIDIA, Total: -1, Free: -1}
		if memory, ret := part.GetMemoryInfo(); ret == nvml.SUCCESS {
			d.Total, d.Free = int64(memory.Total), int64(memory.Free)
		} else {
			d.Why = "the driver does not report its memory: " + nvmlWhy(ret)
		}
		devices = append(devices, d)
	}
	return devices
}

// nvmlWhy words a result. The library's own words may need a call that is not there.
func nvmlWhy(ret nvml.Return) string {
	switch ret {
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return "libnvidia-ml.so.1 is not installed"
	case nvml.ERROR_DRIVER_NOT_LOADED:
		return "its kernel module is not loaded"
	case nvml.ERROR_NO_PERMISSION:
		return "you have no permission to use it"
	case nvml.ERROR_NOT_SUPPORTED:
		return "it does not support that"
	case nvml.ERROR_LIB_RM_VERSION_MISMATCH:
		return "the library and the kernel module are of different versions; reboot"
	case nvml.ERROR_GPU_IS_LOST:
		return "the GPU is lost; reboot"
	case nvml.ERROR_FUNCTION_NOT_FOUND:
		return "it is too old"
	}
	return fmt.Sprintf("error %d", int(ret))
}
