package offline

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
)

// What is watched proves nothing when Claude Code does not go by its settings.
func TestWhatTheProofCannotShow(t *testing.T) {
	for _, tt := range []struct{ command, environ, want string }{
		{"claude -p x", "", ""},
		{"claude -p x", "ANTHROPIC_UNIX_SOCKET=/run/x", "ANTHROPIC_UNIX_SOCKET"},
		{"claude -p x", "CLAUDE_CODE_USE_VERTEX=1", "CLAUDE_CODE_USE_VERTEX"},
		{"claude -p x", "CLAUDE_CODE_RESTRICTED=1", "CLAUDE_CODE_RESTRICTED"},
		{"claude --restricted", "", "--restricted"},
		{"claude --remote-control", "", "--remote-control"},
		{`claude --restricted --settings {"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:1"}}`, "", ""},
		{"sh -c claude", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"},
	} {
		home := t.TempDir()
		m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")}, home, strings.Fields(tt.environ))
		if err != nil {
			t.Fatal(err)
		}
		m.Config.ManagedSettings = filepath.Join(home, "managed")
		if got := goesPast(m, VerifyRequest{Folder: home, Command: strings.Fields(tt.command)}); got != tt.want {
			t.Errorf("%s %s: %q", tt.environ, tt.command, got)
		}
	}
	if text := (Verification{Program: "claude", Past: "--restricted"}).Text(); !strings.Contains(text, "✗ --restricted makes Claude Code bypass its settings") {
		t.Error(text)
	}
}
