package machine

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/state"
)

// ConfigDir is the folder that a Claude Code started in this environment uses.
func (m *Machine) ConfigDir() string {
	if dir := m.Getenv("CLAUDE_CONFIG_DIR"); dir != "" {
		return config.Expand(dir, m.Home)
	}
	return filepath.Join(m.Home, ".claude")
}

func (m *Machine) ConfigDirs() (dirs []string) {
	for _, t := range m.Targets() {
		dirs = append(dirs, t.ConfigDir)
	}
	return state.Unique(dirs)
}

// Targets are the folders that a plain switch moves: the one that Claude Code
// uses here and the configured ones.
func (m *Machine) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(m.ConfigDir())}
	for _, dir := range m.Config.Targets {
		targets = append(targets, claude.UserTarget(config.Expand(dir, m.Home)))
	}
	return state.Unique(targets)
}

// Project is the target of one project's folder.
func (m *Machine) ProjectTarget(dir string) claude.Target {
	return claude.ProjectTarget(config.Expand(dir, m.Home), m.ConfigDir())
}

// Folder is the target of another configuration folder.
func (m *Machine) FolderTarget(dir string) claude.Target {
	return claude.UserTarget(config.Expand(dir, m.Home))
}

// Scope says which layers decide for a Claude Code started in a folder; empty for none in particular.
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
