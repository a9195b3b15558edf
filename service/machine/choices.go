package machine

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/switchyard-app/switchyard/service/fault"
)

// Chosen is the model that a switch takes when none is named.
func (m *Machine) Chosen() string {
	if m.Config.Model != "" {
		return m.Config.Model
	}
	data, err := os.ReadFile(m.Paths.LastModel())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Choose remembers the model for the next switch to local.
func (m *Machine) Choose(tag string) error {
	if err := os.MkdirAll(m.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.Paths.LastModel(), []byte(tag+"\n"), 0o600)
}

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean tells whether new local sessions shall have the lean profile.
func (m *Machine) Lean() bool {
	if m.Config.Lean != nil {
		return *m.Config.Lean
	}
	_, err := os.Stat(m.Paths.Lean())
	return err == nil
}

// SetLean remembers whether they shall. The configuration overrules it.
func (m *Machine) SetLean(on bool) error {
	if m.Config.Lean != nil && *m.Config.Lean != on {
		return &fault.Error{Kind: fault.Refused, What: "the lean profile", Why: "the configuration says whether new sessions have it", Remedy: `change "lean" in ` + m.Paths.Config}
	}
	return m.Mark(m.Paths.Lean(), on)
}

// Quiet tells whether no notifications shall be shown.
func (m *Machine) Quiet() bool {
	if m.Config.Notifications != nil {
		return !*m.Config.Notifications
	}
	_, err := os.Stat(m.Paths.Quiet())
	return err == nil
}

// Mark makes an empty file that remembers something, or removes it.
func (m *Machine) Mark(file string, on bool) error {
	if !on {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(m.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o600)
}

// MayStart tells whether the configuration lets Switchyard start the runner by itself.
func (m *Machine) MayStart() bool { return m.Config.StartRunner == nil || *m.Config.StartRunner }

func (m *Machine) StoppedByPerson() bool {
	_, err := os.Stat(m.Paths.Stopped())
	return err == nil
}

// RememberStop notes whether a person stopped the runner.
func (m *Machine) RememberStop(stopped bool) {
	if !stopped {
		_ = os.Remove(m.Paths.Stopped())
		return
	}
	if os.MkdirAll(m.Paths.State, 0o700) == nil {
		_ = os.WriteFile(m.Paths.Stopped(), nil, 0o600)
	}
}
