//go:build !linux

package lab

import "os/exec"

func dieWithUs(*exec.Cmd) {}
