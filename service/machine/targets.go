package machine

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/state"
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
	return state.Unique(dirs)
}

// Targets are what a plain switch changes: the settings of ConfigDir, then those of the
// folders in the configuration.
func (m *Machine) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(m.ConfigDir())}
	for _, dir := range m.Config.Targets {
		targets = append(targets, claude.UserTarget(config.Expand(dir, m.Home)))
	}
	return state.Unique(targets)
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
