package machine

import (
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/state"
)

// ConfigDir is the folder that a Claude Code started in this environment uses.
func (y *Machine) ConfigDir() string {
	if dir := y.Getenv("CLAUDE_CONFIG_DIR"); dir != "" {
		return config.Expand(dir, y.Home)
	}
	return filepath.Join(y.Home, ".claude")
}

func (y *Machine) ConfigDirs() (dirs []string) {
	for _, t := range y.Targets() {
		dirs = append(dirs, t.ConfigDir)
	}
	return state.Unique(dirs)
}

// Targets are the folders that a plain switch moves: the one that Claude Code
// uses here and the configured ones.
func (y *Machine) Targets() []claude.Target {
	targets := []claude.Target{claude.UserTarget(y.ConfigDir())}
	for _, dir := range y.Config.Targets {
		targets = append(targets, claude.UserTarget(config.Expand(dir, y.Home)))
	}
	return state.Unique(targets)
}

// Project is the target of one project's folder.
func (y *Machine) Project(dir string) claude.Target {
	return claude.ProjectTarget(config.Expand(dir, y.Home), y.ConfigDir())
}

// Folder is the target of another configuration folder.
func (y *Machine) Folder(dir string) claude.Target {
	return claude.UserTarget(config.Expand(dir, y.Home))
}

// Scope says which layers decide for a Claude Code started in a folder; empty for none in particular.
func (y *Machine) Scope(project string) claude.Scope {
	managed := claude.ManagedDir()
	if y.Config.ManagedSettings != "" {
		managed = config.Expand(y.Config.ManagedSettings, y.Home)
	}
	if project != "" {
		project = config.Expand(project, y.Home)
	}
	return claude.Scope{ManagedDir: managed, ConfigDir: y.ConfigDir(), Project: project, Environ: y.Environ}
}

// Inspected is a target and what its files say.
type Inspected struct {
	claude.Target
	claude.Status
}
