package machine

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/switchyard-app/switchyard/service/config"
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
	return config.WriteWhole(m.Paths.LastModel(), []byte(tag+"\n"))
}

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean tells whether new local sessions shall have the lean profile.
func (m *Machine) Lean() bool {
	if m.Config.Lean != nil {
		return *m.Config.Lean
	}
	return marked(m.Paths.Lean())
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
	return marked(m.Paths.Quiet())
}

// Mark makes an empty file that remembers something, or removes it.
func (m *Machine) Mark(file string, on bool) error {
	if !on {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return config.WriteWhole(file, nil)
}

func marked(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// MayStart tells whether the configuration lets Switchyard start the runner by itself.
func (m *Machine) MayStart() bool { return m.Config.StartRunner == nil || *m.Config.StartRunner }

func (m *Machine) StoppedByPerson() bool { return marked(m.Paths.Stopped()) }

// RememberStop notes whether a person stopped the runner.
func (m *Machine) RememberStop(stopped bool) { _ = m.Mark(m.Paths.Stopped(), stopped) }
