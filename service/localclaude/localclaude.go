// Package localclaude finds the Claude Code of this machine, and reads what it keeps for itself.
package localclaude

import (
	"os"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Program is Claude Code: the one on the PATH, or where its own installer puts
// it; empty when there is none.
func Program(m *machine.Machine) string {
	if program := engine.LookPath("claude", m.Getenv("PATH")); program != "" {
		return program
	}
	for _, file := range []string{filepath.Join(m.Home, ".local", "bin", "claude"), filepath.Join(m.Home, ".claude", "local", "claude")} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file
		}
	}
	return ""
}
