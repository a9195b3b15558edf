package machine

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/switchyard-app/switchyard/service/config"
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
	return config.WriteAtomic(m.Paths.LastModel(), []byte(tag+"\n"))
}

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean reports whether new local sessions get the lean profile.
func (m *Machine) Lean() bool {
	if m.Config.Lean != nil {
		return *m.Config.Lean
	}
	return marked(m.Paths.Lean())
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
	return marked(m.Paths.Quiet())
}

// Mark creates an empty file that remembers a choice, or removes it.
func (m *Machine) Mark(file string, on bool) error {
	if !on {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return config.WriteAtomic(file, nil)
}

func marked(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// MayStart reports whether the configuration lets Switchyard start the runner by itself.
func (m *Machine) MayStart() bool { return m.Config.StartRunner == nil || *m.Config.StartRunner }

// StoppedByPerson reports what RememberStop noted.
func (m *Machine) StoppedByPerson() bool { return marked(m.Paths.Stopped()) }

// RememberStop notes whether a person stopped the runner, so that Switchyard does not
// start it again by itself.
func (m *Machine) RememberStop(stopped bool) { _ = m.Mark(m.Paths.Stopped(), stopped) }
