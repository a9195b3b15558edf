package offline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/state"
)

// A session on the offline route gets one line, when the session or the route has ended.
func TestTheAudit(t *testing.T) {
	start := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	const tag = "docker.io/ai/tiny:latest"
	current := func(route claude.Route, alive bool, requests, running int, last time.Time) state.State {
		s := state.State{Route: route, Models: []state.Model{{Tag: tag, ID: "sha256:1"}}}
		if alive {
			s.Sessions = []state.Session{{SessionID: "a", Route: route, Started: start}}
		}
		if requests > 0 {
			s.Gateway.Sessions = []gateway.Session{{ID: "a", Model: tag, Requests: requests, Running: running, InputTokens: 10 * requests, OutputTokens: requests, Last: last}}
		}
		return s
	}
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	a := NewAuditor()
	step := func(what string, s state.State, now time.Time, want string) {
		t.Helper()
		lines, _ := a.Update(s, now)
		var got []string
		for _, l := range lines {
			text, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(text))
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: wrote %s, want %s", what, got, want)
		}
	}
	step("in the cloud nothing counts", current(claude.Cloud, true, 2, 0, at(0)), at(1), "")
	step("the route begins", current(claude.Offline, true, 2, 0, at(0)), at(2), "")
	step("a request", current(claude.Offline, true, 3, 1, at(3)), at(3), "")
	step("it answers", current(claude.Offline, true, 3, 0, at(4)), at(4), "")
	step("the session ends", current(claude.Offline, false, 3, 0, at(4)), at(5), "")
	step("for good", current(claude.Offline, false, 3, 0, at(4)), at(9),
		`{"time":"2026-11-24T09:00:09Z","session":"a","began":"before","model":"docker.io/ai/tiny:latest","digest":"sha256:1","requests":1,"input_tokens":10,"output_tokens":1,"non_loopback_attempts":null}`)
	step("once", current(claude.Offline, false, 3, 0, at(4)), at(20), "")
	step("it is resumed", current(claude.Offline, true, 5, 0, at(21)), at(21), "")
	step("the route ends first", current(claude.Cloud, true, 5, 0, at(21)), at(22),
		`{"time":"2026-11-24T09:00:22Z","session":"a","began":"before","model":"docker.io/ai/tiny:latest","digest":"sha256:1","requests":2,"input_tokens":20,"output_tokens":2,"non_loopback_attempts":null}`)
	step("and no more", current(claude.Cloud, true, 6, 0, at(23)), at(40), "")

	a = NewAuditor()
	a.Watched["a"] = true
	step("it is watched", current(claude.Offline, true, 1, 0, at(1)), at(1), "")
	step("and writes its line", current(claude.Offline, false, 1, 0, at(1)), at(10), "")

	a = NewAuditor()
	step("when Switchyard ends", current(claude.Offline, true, 1, 1, at(1)), at(1), "")
	if lines := a.CloseAll(current(claude.Offline, true, 1, 1, at(1)), at(2)); len(lines) != 1 || lines[0].Requests != 1 || lines[0].Began != "" {
		t.Errorf("when Switchyard ends: %+v", lines)
	}
}

// Lines are appended to the file, which only the user can read.
func TestTheAuditFile(t *testing.T) {
	p := config.Paths{State: filepath.Join(t.TempDir(), "state")}
	for _, id := range []string{"a", "b"} {
		if err := AppendAudit(p, []AuditLine{{Session: id}}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(p.Audit())
	if err != nil || strings.Count(string(data), "\n") != 2 {
		t.Errorf("%s, %v", data, err)
	}
	if info, err := os.Stat(p.Audit()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
