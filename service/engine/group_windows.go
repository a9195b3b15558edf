package engine

import (
	"context"
	"os/exec"
	"unsafe"

	"golang.org/x/sys/windows"
)

// group is a job object: the system ends all that is in it when its last handle,
// this process's, closes.
type group struct{ job windows.Handle }

func newGroup(context.Context, string) (*group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		_ = windows.CloseHandle(job)
		return nil, err
	}
	return &group{job: job}, nil
}

func (g *group) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &windows.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	err := cmd.Start()
	if err == nil {
		var process windows.Handle
		if process, err = windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid)); err == nil {
			err = windows.AssignProcessToJobObject(g.job, process)
			_ = windows.CloseHandle(process)
		}
		if err != nil {
			_ = cmd.Process.Kill()
		}
	}
	if err != nil {
		_ = windows.CloseHandle(g.job)
	}
	return err
}

// end cannot ask here: there are no signals.
func (g *group) end() { g.kill() }

func (g *group) kill() { _ = windows.TerminateJobObject(g.job, 1) }
