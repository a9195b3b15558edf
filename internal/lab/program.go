package lab

import (
	"os/exec"
	"sync"
)

// start starts a program that ends when it is stopped, or with this process.
func start(cmd *exec.Cmd) (stop func(), err error) {
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		<-done
	}), nil
}
