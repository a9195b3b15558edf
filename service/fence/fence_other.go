//go:build !linux || !(amd64 || arm64)

package fence

import (
	"context"
	"errors"
	"os/exec"
)

// errUnsupported says that this system cannot do it.
var errUnsupported = errors.New("this system lets only an administrator watch what a program connects to")

// Available reports whether a program can be fenced here.
func Available() error { return errUnsupported }

// Run is not possible here.
func Run(context.Context, *exec.Cmd, func(pid int, address string)) (Report, error) {
	return Report{}, errUnsupported
}

// Become is not possible here.
func Become(string, []string, []string) error { return errUnsupported }
