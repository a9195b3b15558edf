package machine

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
)

// Locked tells who forbids the cloud to a Claude Code in a folder: the configuration,
// for all of them, or the nearest project file above the folder. A project file that
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

// Explain lists what decides for a Claude Code in a folder: the settings' layers, and
// who forbids the cloud there.
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

// MayPull refuses when nothing may go out.
func (m *Machine) MayPull(ref string) error {
	for _, t := range m.Targets() {
		if now, err := m.Ledger.Inspect(t); err == nil && now.Route == claude.Offline {
			return &fault.Error{Kind: fault.Refused, What: "pulling " + ref, Why: "the route is offline", Remedy: "go online first: switchyard local, or switchyard cloud"}
		}
	}
	return nil
}
