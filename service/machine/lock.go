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
func (y *Machine) Locked(folder string) (config.Lock, bool) {
	if y.Config.Cloud == config.Never {
		return config.Lock{File: y.Paths.Config, Line: config.LineOf(y.Paths.Config, "cloud"), Value: `cloud = "never"`}, true
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
func (y *Machine) Explain(folder string) (settings []claude.Setting, skipped []*claude.Refusal) {
	settings, skipped = y.Scope(folder).Explain()
	if lock, locked := y.Locked(config.Expand(folder, y.Home)); locked {
		layer := claude.Project
		if lock.File == y.Paths.Config {
			layer = claude.User
		}
		settings = append(settings, claude.Setting{Name: "switchyard", Place: claude.Place{Layer: layer, File: lock.File, Line: lock.Line, Value: lock.Value}, Others: []claude.Place{}})
	}
	return settings, skipped
}

// MayPull refuses when nothing may go out.
func (y *Machine) MayPull(ref string) error {
	for _, t := range y.Targets() {
		if now, err := y.Ledger.Inspect(t); err == nil && now.Route == claude.Offline {
			return &fault.Error{Kind: fault.Refused, What: "pulling " + ref, Why: "the route is offline", Remedy: "go online first: switchyard local, or switchyard cloud"}
		}
	}
	return nil
}
