//go:build !linux

package tray

func newNotifier(func(Action)) notifier { return plain{} }
