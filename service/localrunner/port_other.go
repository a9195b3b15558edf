//go:build !linux

package localrunner

import (
	"context"

	"github.com/shirou/gopsutil/v4/process"
)

// programName is the name of a process; empty if unknown.
func programName(ctx context.Context, pid int32) string {
	p, err := process.NewProcessWithContext(ctx, pid)
	if err != nil {
		return ""
	}
	name, err := p.NameWithContext(ctx)
	if err != nil {
		return ""
	}
	return name
}
