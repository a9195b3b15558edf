package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// Another user of the machine learns no token and reaches no socket.
func TestAnotherUserGetsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	y := yard(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, y)
	mustSwitch(t, other(y, t), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	// The folders shall not be what keeps them out.
	for _, dir := range []string{filepath.Dir(y.Home), y.Home, filepath.Join(y.Home, ".claude"), y.Paths.State, y.Paths.Runtime} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(y.Paths.State, "token"), filepath.Join(y.Home, ".claude", "settings.json"), filepath.Join(y.Paths.Runtime, "switchyard.sock")} {
		for _, mode := range []string{"-r", "-w"} {
			cmd := exec.Command("test", mode, file)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			if cmd.Run() == nil {
				t.Errorf("another user may %s %s", mode, file)
			}
			if err := exec.Command("test", mode, file).Run(); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
