//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/offline"
)

// auditLines are what the audit file says.
func (u *user) auditLines() (lines []offline.AuditLine) {
	u.Helper()
	data, err := os.ReadFile(filepath.Join(u.home, ".local", "state", "switchyard", "audit.jsonl"))
	if err != nil {
		return nil
	}
	for text := range strings.Lines(string(data)) {
		var line offline.AuditLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			u.Errorf("%v in %q", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// The real Claude Code is watched: offline it tries nothing, local it does; and each
// session of the offline route has its line.
func TestTheProof(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{}\n")
	u.environ = append(u.environ, "PATH="+filepath.Dir(u.claude)+":"+os.Getenv("PATH"))
	u.live()
	u.must("local", "tiny")
	code, out := u.switchyard("offline", "--verify", "--", u.claude, "-p", "hello")
	if code != 1 || !strings.Contains(out, "tried to look up api.anthropic.com") || !strings.Contains(out, "nothing got out") {
		t.Errorf("in the local route: exit code %d\n%s", code, out)
	}
	u.must("offline", "tiny")
	if out := u.must("offline", "--verify"); !strings.Contains(out, "0 names looked up, 0 connections to other machines tried") || !strings.Contains(out, "Switchyard's gateway") {
		t.Errorf("in the offline route:\n%s", out)
	}
	lines := u.auditLines()
	if len(lines) != 1 || lines[0].Attempts == nil || *lines[0].Attempts != 0 || lines[0].Requests == 0 || !strings.HasPrefix(lines[0].Digest, "sha256:") || lines[0].Session == "" {
		t.Errorf("the audit says %+v", lines)
	}
	if out, err := u.print("hello"); err != nil {
		t.Errorf("claude -p: %v\n%s", err, out)
	}
	u.until("the line of a session that nobody watched", func() bool {
		lines := u.auditLines()
		return len(lines) == 2 && lines[1].Attempts == nil && lines[1].Requests > 0 && lines[1].Began == ""
	})
	u.must("cloud", "--yes")
	if lines := u.auditLines(); len(lines) != 2 {
		t.Errorf("after the return the audit says %+v", lines)
	}
}
