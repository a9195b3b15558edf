//go:build !linux && !darwin && !windows

package network

import (
	"context"
	"errors"
)

// Watch is not possible here.
func Watch(context.Context, func(Reach)) error {
	return errors.New("this system's network cannot be watched")
}
