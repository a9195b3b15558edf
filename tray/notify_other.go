//go:build !linux

package tray

func newNotifier(func(action)) notifier { return plain{} }
