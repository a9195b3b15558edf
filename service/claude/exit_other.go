//go:build !linux

package claude

import "context"

// WaitExit returns nil when the session's process has ended, or the context's error.
func WaitExit(ctx context.Context, s Session) error { return pollExit(ctx, s) }
