package machine

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
)

// Locked returns what forbids the cloud to Claude Code in a folder: the configuration,
// or the project file in the folder or the nearest one above. A project file that
// cannot be read forbids it too.
func (m *Machine) Locked(folder string) (config.Lock, bool) {
	if m.Config.Cloud == config.Never {
		return config.Lock{File: m.Paths.Config, Line: config.LineOf(m.Paths.Config, "cloud"), Value: `cloud = "never"`}, true
	}
	for dir := folder; dir != ""; dir = filepath.Dir(dir) {
		if lock, there := config.ReadProject(filepath.Join(dir, config.ProjectFile)); there {
			return lock, lock.Value != ""
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return config.Lock{}, false
}

// Explain lists the settings that apply to Claude Code in a folder, and the lock on the
// cloud if there is one. skipped are the files that could not be read.
func (m *Machine) Explain(folder string) (settings []claude.Setting, skipped []*claude.Refusal) {
	settings, skipped = m.Scope(folder).Explain()
	if lock, locked := m.Locked(config.Expand(folder, m.Home)); locked {
		layer := claude.Project
		if lock.File == m.Paths.Config {
			layer = claude.User
		}
		settings = append(settings, claude.Setting{Name: "switchyard", Place: claude.Place{Layer: layer, File: lock.File, Line: lock.Line, Value: lock.Value}, Others: []claude.Place{}})
	}
	return settings, skipped
}

// MayPull refuses a pull on the offline route.
func (m *Machine) MayPull(ref string) error {
	for _, t := range m.Targets() {
		if now, err := m.Ledger.Inspect(t); err == nil && now.Route == claude.Offline {
			return &fault.Error{Kind: fault.Refused, What: "pulling " + ref, Why: "the route is offline", Remedy: "go online first: switchyard local, or switchyard cloud"}
		}
	}
	return nil
}
