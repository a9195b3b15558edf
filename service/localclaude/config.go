package localclaude

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/machine"
)

// Config is the part of .claude.json that Switchyard reads: Claude Code's own notes,
// which are not settings.
type Config struct {
	Onboarded bool                 `json:"hasCompletedOnboarding"`
	Servers   map[string]MCPServer `json:"mcpServers"`
	Projects  map[string]struct {
		Servers map[string]MCPServer `json:"mcpServers"`
	} `json:"projects"` // by folder
}

// MCPServer is a server that Claude Code starts (Command) or calls (URL).
type MCPServer struct {
	URL     string   `json:"url"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

// ReadConfig reads .claude.json. A missing or broken file is an empty Config.
func ReadConfig(m *machine.Machine) (file string, c Config) {
	file = filepath.Join(m.Home, ".claude.json")
	if m.Getenv("CLAUDE_CONFIG_DIR") != "" {
		file = filepath.Join(m.ConfigDir(), ".claude.json")
	}
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &c)
	}
	return file, c
}
