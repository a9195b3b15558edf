package claude

import (
	"os"
	"time"
)

// Running reports whether a session's process lives and is still the same.
func Running(s Session) bool { return running(s) }

// Self names this process as a session names its own: it stays what it is when it
// becomes another program (exec).
func Self() (Session, error) {
	start, err := procStart(os.Getpid())
	return Session{PID: os.Getpid(), ProcStart: start, StartedAt: time.Now().UnixMilli()}, err
}
