//go:build !windows && (!linux || !cgo)

package gpu

import "errors"

// readNVML needs NVIDIA's library, which this build cannot load.
func readNVML(string) ([]Device, error) {
	return nil, errors.New("this build of Switchyard cannot ask NVIDIA's driver")
}
