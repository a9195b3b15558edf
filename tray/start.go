package tray

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// open shows a file with the desktop's own program for it.
func open(ctx context.Context, file string) error {
	name, args := "xdg-open", []string{file}
	switch runtime.GOOS {
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", file}
	case "darwin":
		if name, args = "open", []string{"-t", file}; strings.HasPrefix(file, "https://") {
			args = []string{file}
		}
	}
	return exec.CommandContext(ctx, name, args...).Run()
}

// onlyOne keeps a second tray of the same user from starting; unlock is nil when one runs.
func onlyOne(paths config.Paths) (unlock func(), err error) {
	dir, err := paths.RuntimeDir()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, What: "starting", Why: err.Error(), Remedy: "make the folder writable", Err: err}
	}
	lock := flock.New(filepath.Join(dir, "tray.lock"), flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, What: "starting", Why: err.Error(), Remedy: "make " + dir + " writable", Err: err}
	}
	if !got {
		return nil, nil
	}
	return func() { _ = lock.Close() }, nil
}

// raise shows the Switchyard that is already running.
func raise(ctx context.Context, m *machine.Machine) {
	if running, err := control.Find(ctx, m); err == nil {
		_ = running.Raise(ctx) // its notification; what is said below is enough
	}
	fmt.Fprintln(os.Stderr, "switchyard: already running; look for its icon in the panel, or run: switchyard status")
}

// say tells a person at the terminal, and the log.
func say(logger *slog.Logger, text string) {
	logger.Warn(text)
	fmt.Fprintln(os.Stderr, "switchyard: "+text)
}

// LibraryLog takes what libraries print with package log. It goes nowhere until To says
// where.
type LibraryLog struct{ to atomic.Pointer[slog.Logger] }

// To sends what comes from now on to a log.
func (l *LibraryLog) To(logger *slog.Logger) { l.to.Store(logger) }

func (l *LibraryLog) Write(p []byte) (int, error) {
	logger := l.to.Load()
	if logger == nil || strings.Contains(string(p), "Unsolicited response") { // net/http's, with what a stranger on a port said
		return len(p), nil
	}
	logger.Warn(strings.TrimSpace(string(p)))
	return len(p), nil
}
