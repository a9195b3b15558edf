package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// secrets are the files, on the local route, that only the user may read.
func secrets(t *testing.T) (m *machine.Machine, files []string) {
	t.Helper()
	m = scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}})
	s := serve(t, m)
	mustSwitch(t, otherProcess(t, m), switching.Request{Route: claude.Local})
	s.until("the switch", func(s state.State) bool { return s.GatewayInUse() })
	return m, []string{filepath.Join(m.Paths.State, "token"), filepath.Join(m.Home, ".claude", "settings.json"), filepath.Join(m.Paths.Runtime, "switchyard.sock")}
}

// The modes of the secrets keep other users out: TestAnotherUserGetsNothing, which
// takes root, shows it.
func TestOnlyItsUserHasTheSecrets(t *testing.T) {
	_, files := secrets(t)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", file, info.Mode())
		}
	}
}

// Another user of the machine gets neither the token nor the socket.
func TestAnotherUserGetsNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; TestOnlyItsUserHasTheSecrets needs no root")
	}
	m, files := secrets(t)
	// Without these, the folders alone would keep others out.
	for _, dir := range []string{filepath.Dir(m.Home), m.Home, filepath.Join(m.Home, ".claude"), m.Paths.State, m.Paths.Runtime} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
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
