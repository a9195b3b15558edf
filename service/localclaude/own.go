package localclaude

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/switchyard-app/switchyard/service/machine"
)

// Own reads what Claude Code keeps for itself, beside its settings.
func ReadConfig(m *machine.Machine) (file string, known struct {
	Onboarded bool                 `json:"hasCompletedOnboarding"`
	Servers   map[string]MCPServer `json:"mcpServers"`
	Projects  map[string]struct {
		Servers map[string]MCPServer `json:"mcpServers"`
	} `json:"projects"`
}) {
	file = filepath.Join(m.Home, ".claude.json")
	if m.Getenv("CLAUDE_CONFIG_DIR") != "" {
		file = filepath.Join(m.ConfigDir(), ".claude.json")
	}
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &known) // what is not there, or broken, says nothing
	}
	return file, known
}

// Server is a server of tools that Claude Code starts or calls.
type MCPServer struct {
	URL     string   `json:"url"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}
