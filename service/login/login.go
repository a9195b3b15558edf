// Package login turns Switchyard's start at login on and off.
package login

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

const what = "starting at login"

// Place is where the desktop keeps which programs start at login.
func Place(m *machine.Machine) autostart.Place {
	return autostart.Place{Config: filepath.Dir(filepath.Dir(m.Paths.Config)), Home: m.Home}
}

// Status says whether Switchyard starts at login, and which program that is.
func Status(m *machine.Machine) (autostart.Status, error) {
	s, err := Place(m).Status()
	if err != nil {
		err = &fault.Error{Kind: fault.Failed, What: what, Why: err.Error(), Remedy: "make it readable, or remove it", Err: err}
	}
	return s, err
}

// Set turns the start at login on, for this very program, or off.
func Set(m *machine.Machine, on bool) error {
	place := Place(m)
	act := place.Off
	if on {
		act = func() error { return place.On(autostart.Stable(machine.Executable())) }
	}
	if err := act(); err != nil {
		return &fault.Error{Kind: fault.Failed, What: what, Why: err.Error(), Remedy: "make the folder writable", Err: err}
	}
	return nil
}
