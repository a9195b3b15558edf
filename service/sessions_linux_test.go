package service

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/doctor"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
)

// Every change of a session shows: of its record, of a project's settings, and that it was
// killed, which changes no file.
func TestTheSupervisorSeesSessions(t *testing.T) {
	m := machineAt(t, "http://127.0.0.1:1")
	_, until := supervise(t, m)
	until("the first look", func(s state.State) bool { return len(s.Targets) == 1 })

	project := filepath.Join(m.Home, "shop")
	if err := os.MkdirAll(filepath.Join(project, ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	claudeCode := exec.Command("sleep", "600")
	if err := claudeCode.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		_ = claudeCode.Process.Kill()
		_ = claudeCode.Wait()
	}
	t.Cleanup(end)
	dir := filepath.Join(m.Home, ".claude", "sessions")
	record := func(status string) {
		t.Helper()
		data, err := json.Marshal(claude.Session{PID: claudeCode.Process.Pid, SessionID: "s", CWD: project, Kind: "interactive", Status: status, StartedAt: time.Now().UnixMilli()})
		if err := errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "1.json"), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	record("idle")
	until("the session, in the cloud", func(s state.State) bool { return len(s.Sessions) == 1 && s.Sessions[0].Route == claude.Cloud })
	if found := doctor.CheckDeparture(t.Context(), m, &doctor.Departure{}); !slices.ContainsFunc(found, func(f state.Finding) bool { return f.Code == "sessions_before" }) {
		t.Errorf("before a departure it is not named: %+v", found)
	}
	record("busy")
	until("its status", func(s state.State) bool { return len(s.Sessions) == 1 && s.Sessions[0].Status == "busy" })
	if err := os.WriteFile(filepath.Join(project, ".claude", "settings.json"), []byte(`{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:4000"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := until("its project's word", func(s state.State) bool { return len(s.Sessions) == 1 && s.Sessions[0].Route == state.Unknown })
	if s.Sessions[0].PinnedBy != filepath.Join("~", "shop", ".claude", "settings.json")+":1" {
		t.Errorf("pinned by %q", s.Sessions[0].PinnedBy)
	}
	end()
	until("its end", func(s state.State) bool { return len(s.Sessions) == 0 })
	if all := status.Sessions(t.Context(), m, true); len(all) != 1 || !all[0].Stale {
		t.Errorf("the record that is left: %+v", all)
	}
}
