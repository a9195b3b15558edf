// Package localclaude finds Claude Code on this machine, and reads its .claude.json.
package localclaude

import (
	"os"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Program is the path of Claude Code: on the PATH, or where its installer puts it; empty
// if it is not installed.
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
