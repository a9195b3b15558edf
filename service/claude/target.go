package claude

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"runtime"
	"strings"
)

// Target is one Claude Code configuration folder whose settings a switch edits.
type Target struct {
	Dir       string `json:"dir"`               // the folder, absolute
	File      string `json:"file"`              // the settings file in it, absolute; possibly a symlink, possibly absent
	ConfigDir string `json:"config_dir"`        // where Claude Code records the sessions that read File
	Project   string `json:"project,omitempty"` // the project's folder; empty for a user's configuration
}

// UserTarget is a configuration folder such as ~/.claude.
func UserTarget(dir string) Target {
	dir = absolute(dir)
	return Target{Dir: dir, File: filepath.Join(dir, "settings.json"), ConfigDir: dir}
}

// ProjectTarget is a project's own configuration: always settings.local.json,
// because settings.json is the team's. Its sessions are recorded in configDir.
func ProjectTarget(project, configDir string) Target {
	project = absolute(project)
	dir := filepath.Join(project, ".claude")
	return Target{Dir: dir, File: filepath.Join(dir, "settings.local.json"), ConfigDir: absolute(configDir), Project: project}
}

// id names the target's folder in the ledger.
func (t Target) id() string {
	sum := sha256.Sum256([]byte(t.File))
	return hex.EncodeToString(sum[:8])
}

// Covers reports whether a session reads this target's settings.
func (t Target) Covers(s Session) bool {
	return t.Project == "" || s.CWD == t.Project || strings.HasPrefix(s.CWD, t.Project+string(filepath.Separator))
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// ManagedDir is where an administrator's settings live on this system
// (code.claude.com, "Settings files").
func ManagedDir() string {
	switch runtime.GOOS {
	case "darwin":
		return "/Library/Application Support/ClaudeCode"
	case "windows":
		return `C:\Program Files\ClaudeCode`
	}
	return "/etc/claude-code"
}
