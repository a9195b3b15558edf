//go:build !linux

package tray

import (
	"context"
	"errors"
)

func hasBus(context.Context) bool { return true }

func desktop(context.Context) string { return "" }

// awaitNewBus is for systems with a session bus.
func awaitNewBus(ctx context.Context) bool {
	<-ctx.Done()
	return false
}

func again() error { return errors.ErrUnsupported }
