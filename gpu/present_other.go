//go:build !linux

package gpu

// Present knows of no GPU here.
func Present(string) []Maker { return nil }
