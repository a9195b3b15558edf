//go:build unix

package engine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is the runner and the engines that it starts: one process group. All of
// them hold a locked file, so that a later Switchyard can tell whether any is left
// over, and end it without meeting a stranger with the same number.
type group struct {
	lock *os.File
	pid  int
}

// newGroup takes the lock; what an earlier Switchyard left over is ended first.
func newGroup(ctx context.Context, path string) (*group, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	locked := func() bool { return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
	if !locked() {
		text := make([]byte, 32)
		n, _ := file.ReadAt(text, 0)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
		if pid > 1 {
			_ = syscall.Kill(-pid, syscall.SIGTERM)
		}
		for deadline := time.Now().Add(2 * endGrace); !locked(); {
			switch left := time.Until(deadline); {
			case left < 0 || ctx.Err() != nil:
				_ = file.Close()
				return nil, errors.New("an earlier run of it has not ended")
			case left < endGrace && pid > 1:
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
			<-time.After(20 * time.Millisecond) // nothing announces the release of a lock
		}
	}
	return &group{lock: file}, nil
}

// start starts the command as the head of the group. This process gives the lock
// up to it.
func (g *group) start(cmd *exec.Cmd) error {
	defer g.lock.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, g.lock)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithUs(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return err
	}
	g.pid = cmd.Process.Pid
	_ = g.lock.Truncate(0)
	_, _ = g.lock.WriteAt([]byte(strconv.Itoa(g.pid)+"\n"), 0)
	return nil
}

// end asks the runner to end its engines and itself.
func (g *group) end() { _ = syscall.Kill(g.pid, syscall.SIGTERM) }

// kill ends what is left of the group.
func (g *group) kill() { _ = syscall.Kill(-g.pid, syscall.SIGKILL) }
