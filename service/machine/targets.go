package machine

import (
	"path/filepath"
	"slices"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
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
	return Unique(dirs)
}

// Targets are the folders that a plain switch moves: the one that Claude Code
// uses here and the configured ones.
func (m *Machine) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(m.ConfigDir())}
	for _, dir := range m.Config.Targets {
		targets = append(targets, claude.UserTarget(config.Expand(dir, m.Home)))
	}
	return Unique(targets)
}

// Project is the target of one project's folder.
func (m *Machine) Project(dir string) claude.Target {
	return claude.ProjectTarget(config.Expand(dir, m.Home), m.ConfigDir())
}

// Folder is the target of another configuration folder.
func (m *Machine) Folder(dir string) claude.Target {
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
