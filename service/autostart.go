package service

import (
	"context"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/words"
)

const whatAutostart = "starting at login"

// autostart is where the desktop keeps who starts at login.
func (y *Yard) autostart() autostart.Place {
	return autostart.Place{Config: filepath.Dir(filepath.Dir(y.Paths.Config)), Home: y.Home}
}

// Autostart reads whether Switchyard starts at login.
func (y *Yard) Autostart() (autostart.Status, error) {
	s, err := y.autostart().Status()
	if err != nil {
		err = &Error{Kind: Failed, What: whatAutostart, Why: err.Error(), Remedy: "make it readable, or remove it", Err: err}
	}
	return s, err
}

// SetAutostart has the desktop start Switchyard at login, or not.
func (y *Yard) SetAutostart(on bool) error {
	place := y.autostart()
	act := place.Off
	if on {
		act = func() error { return place.On(autostart.Stable(Executable())) }
	}
	if err := act(); err != nil {
		return &Error{Kind: Failed, What: whatAutostart, Why: err.Error(), Remedy: "make the folder writable", Err: err}
	}
	return nil
}

// lookAtAutostart reads the record, after correcting one of a program that an update moved.
func (s *Supervisor) lookAtAutostart(ctx context.Context) {
	if err := s.yard.autostart().Follow(autostart.Stable(Executable())); err != nil {
		s.log.Warn("the start at login", "error", err)
	}
	status, err := s.yard.Autostart()
	if err != nil {
		s.log.Warn("the start at login", "error", err)
	}
	s.fact(ctx, func(k *known) { k.autostart = status })
}

// SetAutostart has the desktop start Switchyard at login, or not.
func (s *Supervisor) SetAutostart(ctx context.Context, on bool) {
	if err := s.yard.SetAutostart(on); err != nil {
		s.failed(ctx, words.Key("Could not change the start at login"), err)
	}
	s.lookAtAutostart(ctx)
}
