package claude

import (
	"context"
	"time"
)

// pollExit waits for a process's end where the system gives no event for it.
func pollExit(ctx context.Context, s Session) error {
	pause := 500 * time.Millisecond
	for running(s) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
	return nil
}
