//go:build !linux

package tray

import (
	"context"
	"errors"
)

func hasBus() bool { return true }

func desktop() string { return "" }

// awaitNewBus is for systems with a session bus.
func awaitNewBus(ctx context.Context) bool {
	<-ctx.Done()
	return false
}

func again() error { return errors.ErrUnsupported }
