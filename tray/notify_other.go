//go:build !linux

package tray

import "context"

func newNotifier(ctx context.Context, _ func(action)) notifier { return plain{ctx} }
