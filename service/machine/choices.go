package machine

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/switchyard-app/switchyard/service/fault"
)

// Chosen is the model that a switch takes if none is named: a tag or a name; empty if
// none was chosen yet.
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

// Choose remembers a model for the next switch to local.
func (m *Machine) Choose(tag string) error {
	if err := os.MkdirAll(m.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(m.Paths.LastModel(), []byte(tag+"\n"), 0o600)
}

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean reports whether new local sessions get the lean profile.
func (m *Machine) Lean() bool {
	if m.Config.Lean != nil {
		return *m.Config.Lean
	}
	_, err := os.Stat(m.Paths.Lean())
	return err == nil
}

// SetLean remembers whether new local sessions get the lean profile. It refuses to
// contradict the configuration.
func (m *Machine) SetLean(on bool) error {
	if m.Config.Lean != nil && *m.Config.Lean != on {
		return &fault.Error{Kind: fault.Refused, What: "the lean profile", Why: "the configuration says whether new sessions have it", Remedy: `change "lean" in ` + m.Paths.Config}
	}
	return m.Mark(m.Paths.Lean(), on)
}

// Quiet reports whether notifications are off.
func (m *Machine) Quiet() bool {
	if m.Config.Notifications != nil {
		return !*m.Config.Notifications
	}
	_, err := os.Stat(m.Paths.Quiet())
	return err == nil
}

// Mark creates an empty file that remembers a choice, or removes it.
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

// MayStart reports whether the configuration lets Switchyard start the runner by itself.
func (m *Machine) MayStart() bool { return m.Config.StartRunner == nil || *m.Config.StartRunner }

// StoppedByPerson reports what RememberStop noted.
func (m *Machine) StoppedByPerson() bool {
	_, err := os.Stat(m.Paths.Stopped())
	return err == nil
}

// RememberStop notes whether a person stopped the runner, so that Switchyard does not
// start it again by itself.
func (m *Machine) RememberStop(stopped bool) {
	if !stopped {
		_ = os.Remove(m.Paths.Stopped())
		return
	}
	if os.MkdirAll(m.Paths.State, 0o700) == nil {
		_ = os.WriteFile(m.Paths.Stopped(), nil, 0o600)
	}
}
