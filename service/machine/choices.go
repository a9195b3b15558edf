package machine

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/switchyard-app/switchyard/service/fault"
)

// Chosen is the model that a switch takes when none is named.
func (y *Machine) Chosen() string {
	if y.Config.Model != "" {
		return y.Config.Model
	}
	data, err := os.ReadFile(y.Paths.LastModel())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Choose remembers the model for the next switch to local.
func (y *Machine) Choose(tag string) error {
	if err := os.MkdirAll(y.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(y.Paths.LastModel(), []byte(tag+"\n"), 0o600)
}

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean tells whether new local sessions shall have the lean profile.
func (y *Machine) Lean() bool {
	if y.Config.Lean != nil {
		return *y.Config.Lean
	}
	_, err := os.Stat(y.Paths.Lean())
	return err == nil
}

// SetLean remembers whether they shall. The configuration overrules it.
func (y *Machine) SetLean(on bool) error {
	if y.Config.Lean != nil && *y.Config.Lean != on {
		return &fault.Error{Kind: fault.Refused, What: "the lean profile", Why: "the configuration says whether new sessions have it", Remedy: `change "lean" in ` + y.Paths.Config}
	}
	return y.Mark(y.Paths.Lean(), on)
}

// Quiet tells whether no notifications shall be shown.
func (y *Machine) Quiet() bool {
	if y.Config.Notifications != nil {
		return !*y.Config.Notifications
	}
	_, err := os.Stat(y.Paths.Quiet())
	return err == nil
}

// Mark makes an empty file that remembers something, or removes it.
func (y *Machine) Mark(file string, on bool) error {
	if !on {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(y.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o600)
}

// MayStart tells whether the configuration lets Switchyard start the runner by itself.
func (y *Machine) MayStart() bool { return y.Config.StartRunner == nil || *y.Config.StartRunner }

func (y *Machine) StoppedByPerson() bool {
	_, err := os.Stat(y.Paths.Stopped())
	return err == nil
}

// RememberStop notes whether a person stopped the runner.
func (y *Machine) RememberStop(stopped bool) {
	if !stopped {
		_ = os.Remove(y.Paths.Stopped())
		return
	}
	if os.MkdirAll(y.Paths.State, 0o700) == nil {
		_ = os.WriteFile(y.Paths.Stopped(), nil, 0o600)
	}
}
