package gpu

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// Device is one GPU. Sizes are in bytes; −1 means that they are not known.
type Device struct {
	Name    string `json:"name"`
	Maker   Maker  `json:"maker"`
	Total   int64  `json:"total_bytes"`
	Free    int64  `json:"free_bytes"`
	Unified bool   `json:"unified,omitempty"` // it shares the machine's memory
	Asleep  bool   `json:"asleep,omitempty"`  // it was not woken to be asked
	Why     string `json:"why,omitempty"`     // why something is not known
}

// Used is what is taken of its memory; −1 when that is not known.
func (d Device) Used() int64 {
	if d.Total < 0 || d.Free < 0 {
		return -1
	}
	return d.Total - d.Free
}

// Free is what all devices have free together, in bytes: llama.cpp spreads a model
// over them. It is −1 when one of them does not tell, or there is none.
func Free(devices []Device) int64 {
	return sum(devices, func(d Device) int64 { return d.Free })
}

// Total is the memory of all devices; −1 when one does not tell, or there is none.
func Total(devices []Device) int64 {
	return sum(devices, func(d Device) int64 { return d.Total })
}

func sum(devices []Device, of func(Device) int64) (all int64) {
	for _, d := range devices {
		if of(d) < 0 {
			return -1
		}
		all += of(d)
	}
	if len(devices) == 0 {
		return -1
	}
	return all
}

// probeTime bounds one reading: a driver may hang.
const probeTime = 3 * time.Second

// Read reads the devices in a process of its own: NVIDIA's library ends the process
// that calls it wrongly, a broken driver may hang for ever, and an open handle keeps
// a laptop's GPU awake. program is this one, args what makes it call Probe.
func Read(ctx context.Context, program string, args ...string) ([]Device, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = "switchyard" // for the process list
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errors.New("the graphics driver does not answer")
	case err != nil && cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 127: // the dynamic linker's, for a call that is not there
		return nil, errors.New("NVIDIA's library libnvidia-ml.so.1 is broken or much too old")
	case err != nil:
		return nil, fmt.Errorf("the graphics driver cannot be asked: %w", err)
	}
	var devices []Device
	if err := json.Unmarshal(out, &devices); err != nil {
		return nil, fmt.Errorf("the graphics driver cannot be asked: %w", err)
	}
	return devices, nil
}

// Probe reads the devices in this process. root is the file system's, "/" but in
// tests; library is NVIDIA's, empty for the system's own.
func Probe(root, library string) []Device {
	devices := sysfs(root)
	var rest []Device
	nvidia := false
	for _, d := range devices {
		if d.Maker != NVIDIA {
			rest = append(rest, d)
			continue
		}
		nvidia = nvidia || !d.Asleep
		if d.Asleep {
			rest = append(rest, d)
		}
	}
	if nvidia || len(devices) == 0 && hasNVIDIA(root) {
		read, err := readNVML(library)
		if err != nil {
			read = []Device{{Name: "NVIDIA GPU", Maker: NVIDIA, Total: -1, Free: -1, Why: cmp.Or(err.Error(), "unknown")}}
		}
		rest = append(rest, read...)
	}
	return append([]Device{}, rest...)
}
