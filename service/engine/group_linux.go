package engine

import "syscall"

// endWithUs makes the kernel end the runner when this process is killed: with a
// signal that lets it end its own engines too.
func endWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
