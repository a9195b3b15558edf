//go:build !linux

package tray

func hasBus() bool { return true }

func desktop() string { return "" }
