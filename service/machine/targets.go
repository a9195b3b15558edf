package machine

import (
	"path/filepath"
	"slices"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
)

// ConfigDir is Claude Code's configuration folder in this environment.
func (m *Machine) ConfigDir() string {
	if dir := m.Getenv("CLAUDE_CONFIG_DIR"); dir != "" {
		return config.Expand(dir, m.Home)
	}
	return filepath.Join(m.Home, ".claude")
}

// ConfigDirs are the configuration folders of all targets, each once.
func (m *Machine) ConfigDirs() (dirs []string) {
	for _, t := range m.Targets() {
		dirs = append(dirs, t.ConfigDir)
	}
	return Unique(dirs)
}

// Targets are what a plain switch changes: the settings of ConfigDir, then those of the
// folders in the configuration.
func (m *Machine) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(m.ConfigDir())}
	for _, dir := range m.Config.Targets {
		targets = append(targets, claude.UserTarget(config.Expand(dir, m.Home)))
	}
	return Unique(targets)
}

// ProjectTarget is the target for the settings of a project in dir.
func (m *Machine) ProjectTarget(dir string) claude.Target {
	return claude.ProjectTarget(config.Expand(dir, m.Home), m.ConfigDir())
}

// FolderTarget is the target for another configuration folder of Claude Code.
func (m *Machine) FolderTarget(dir string) claude.Target {
	return claude.UserTarget(config.Expand(dir, m.Home))
}

// Scope says which settings apply to Claude Code started in a project's folder; empty:
// in no particular one.
func (m *Machine) Scope(project string) claude.Scope {
	managed := claude.ManagedDir()
	if m.Config.ManagedSettings != "" {
		managed = config.Expand(m.Config.ManagedSettings, m.Home)
	}
	if project != "" {
		project = config.Expand(project, m.Home)
	}
	return claude.Scope{ManagedDir: managed, ConfigDir: m.ConfigDir(), Project: project, Environ: m.Environ}
}

// Inspected is a target and what its files say.
type Inspected struct {
	claude.Target
	claude.Status
}

// Unique leaves each value where it stands first: the first target is the one that the faces show.
func Unique[T comparable](list []T) []T {
	var out []T
	for _, x := range list {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
