package autostart

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/windows/registry"
)

const (
	run      = `Software\Microsoft\Windows\CurrentVersion\Run`
	approved = `Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run` // the Task Manager's word
	name     = "Switchyard"
)

// On makes the record, a value of the user's Run key.
func (p Place) On(program string) error {
	key, _, err := registry.CreateKey(registry.CURRENT_USER, run, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer key.Close()
	if err := key.SetStringValue(name, `"`+program+`"`); err != nil {
		return err
	}
	return remove(approved) // a refusal in Windows' own settings must not outlast the user's wish
}

// Off removes the record.
func (p Place) Off() error {
	if err := remove(run); err != nil {
		return err
	}
	return remove(approved)
}

func remove(path string) error {
	key, err := registry.OpenKey(registry.CURRENT_USER, path, registry.SET_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer key.Close()
	if err := key.DeleteValue(name); err != nil && !errors.Is(err, registry.ErrNotExist) {
		return err
	}
	return nil
}

// Status reads the record, and whether the user switched it off in the Task Manager.
func (p Place) Status() (Status, error) {
	s := Status{Where: `HKEY_CURRENT_USER\` + run + `\` + name}
	key, err := registry.OpenKey(registry.CURRENT_USER, run, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer key.Close()
	value, _, err := key.GetStringValue(name)
	if errors.Is(err, registry.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.On, s.Program = true, strings.Trim(value, `"`)
	if off, err := registry.OpenKey(registry.CURRENT_USER, approved, registry.QUERY_VALUE); err == nil {
		defer off.Close()
		if flags, _, err := off.GetBinaryValue(name); err == nil && len(flags) > 0 && flags[0]&1 == 1 {
			s.On, s.ByUser = false, true
		}
	}
	return s, nil
}

// windowless is the program that opens no terminal, where it lies beside.
func windowless(program string) string {
	beside := strings.TrimSuffix(program, ".exe") + "w.exe"
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	return program
}
