package sessions

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/machine"
)

// The verdict on a session, for every way in which it can be started and seen.
func TestJudge(t *testing.T) {
	const (
		gatewayURL = "http://127.0.0.1:12480"
		tag        = "docker.io/ai/x:latest"
	)
	switched := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	now := switched.Add(time.Minute)
	ms := func(t time.Time) int64 { return t.UnixMilli() }
	before, after := ms(switched.Add(-time.Hour)), ms(switched.Add(10*time.Second))
	local := claude.Status{Route: claude.Local, Since: switched, BaseURL: gatewayURL, Direct: "http://127.0.0.1:12434/anthropic", Way: claude.Gateway, Model: tag}
	direct := claude.Status{Route: claude.Local, Since: switched, BaseURL: "http://127.0.0.1:12434/anthropic", Way: claude.Direct, Model: tag}
	offline, cloud := local, claude.Status{Route: claude.Cloud, Since: switched}
	offline.Route = claude.Offline
	leanly := local
	leanly.Agent, leanly.AgentSince = machine.LeanAgent, switched
	user := func(w claude.Effective) claude.Effective {
		w.Known, w.Place = true, claude.Place{Layer: claude.User, File: "/home/me/.claude/settings.json"}
		return w
	}
	toLocal := user(claude.Effective{BaseURL: gatewayURL, Model: tag})
	toCloud := claude.Effective{Known: true}
	silent := toLocal
	silent.Silent = true
	asked := func(ago time.Duration) gateway.Session {
		return gateway.Session{ID: "s", Model: tag, Requests: 3, InputTokens: 300, OutputTokens: 20, Last: now.Add(-ago)}
	}
	for _, tt := range []struct {
		name   string
		facts  Fact
		target claude.Status
		seen   gateway.Session
		want   string // route, model, pin, behind
		reason string // how it begins
	}{
		{"it follows, idle", Fact{Session: claude.Session{StartedAt: before}, effective: toLocal}, local, gateway.Session{}, "local " + tag, ""},
		{"it was seen", Fact{Session: claude.Session{StartedAt: before}, effective: toLocal}, local, asked(time.Second), "local " + tag, ""},
		{"back to the cloud, seen before", Fact{Session: claude.Session{StartedAt: before}, effective: toCloud}, cloud, asked(2 * time.Minute), "cloud", ""},
		{"back to the cloud, seen since", Fact{Session: claude.Session{StartedAt: before}, effective: toCloud}, cloud, asked(time.Second), "local " + tag + " behind", "it still uses the local model"},
		{"a new one is never behind", Fact{Session: claude.Session{StartedAt: after}, effective: toCloud, decided: switched}, cloud, gateway.Session{}, "cloud", ""},
		{"--settings to the cloud", Fact{Session: claude.Session{StartedAt: before}, effective: toCloud, pin: "--settings"}, local, gateway.Session{}, "cloud --settings behind", "its command line pins it"},
		{"--settings to the gateway", Fact{Session: claude.Session{StartedAt: before}, effective: toLocal, pin: "--settings"}, cloud, gateway.Session{}, "local " + tag + " --settings behind", "--settings keeps it"},
		{"switchyard run is meant so", Fact{Session: claude.Session{StartedAt: before}, effective: toLocal, pin: "switchyard run", ours: true}, cloud, asked(2 * time.Minute), "local " + tag + " switchyard run", ""},
		{"a project's file decides", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, BaseURL: "https://gw.example"}, pin: "~/p/.claude/settings.json:3"}, local, gateway.Session{}, "cloud ~/p/.claude/settings.json:3 behind", "~/p/.claude/settings.json:3 takes precedence"},
		{"another vendor", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, Provider: "CLAUDE_CODE_USE_BEDROCK"}, pin: "CLAUDE_CODE_USE_BEDROCK"}, local, gateway.Session{}, "cloud CLAUDE_CODE_USE_BEDROCK behind", "CLAUDE_CODE_USE_BEDROCK sends"},
		{"a socket that goes past the settings", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, BaseURL: gatewayURL, Provider: "ANTHROPIC_UNIX_SOCKET"}, pin: "ANTHROPIC_UNIX_SOCKET"}, local, gateway.Session{}, "cloud ANTHROPIC_UNIX_SOCKET behind", "ANTHROPIC_UNIX_SOCKET sends"},
		{"where the cloud is forbidden", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, BaseURL: gatewayURL, Provider: "--cloud"}, pin: "--cloud", lock: "~/p/.switchyard.toml:1"}, local, gateway.Session{}, "cloud --cloud forbidden", "~/p/.switchyard.toml:1 forbids"},
		{"--restricted", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, Ignores: "--restricted"}, pin: "--restricted"}, offline, gateway.Session{}, "cloud --restricted behind", "--restricted makes it ignore"},
		{"--model with a cloud name is the chosen one", Fact{Session: claude.Session{StartedAt: before}, effective: user(claude.Effective{BaseURL: gatewayURL, Model: "claude-opus-4-6", ModelBy: "--model"})}, local, gateway.Session{}, "local " + tag + " --model", ""},
		{"but not without the gateway", Fact{Session: claude.Session{StartedAt: before}, effective: user(claude.Effective{BaseURL: direct.BaseURL, Model: "claude-opus-4-6", ModelBy: "--model"})}, direct, gateway.Session{}, "local " + tag + " --model behind", "--model makes it ask for claude-opus-4-6, which"},
		{"--model with another local one", Fact{Session: claude.Session{StartedAt: before}, effective: user(claude.Effective{BaseURL: gatewayURL, Model: "ai/y", ModelBy: "--model"})}, local, gateway.Session{}, "local docker.io/ai/y:latest --model behind", "--model makes it ask for ai/y"},
		{"ANTHROPIC_MODEL goes to the cloud", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{Known: true, Model: "ai/y", ModelBy: "ANTHROPIC_MODEL"}}, cloud, gateway.Session{}, "cloud ai/y ANTHROPIC_MODEL behind", "ANTHROPIC_MODEL makes it ask the cloud"},
		{"offline from its start", Fact{Session: claude.Session{StartedAt: after}, effective: silent, decided: switched}, offline, gateway.Session{}, "offline " + tag, ""},
		{"offline, but it began before", Fact{Session: claude.Session{StartedAt: before}, effective: silent}, offline, gateway.Session{}, "local " + tag + " behind", "it started before the switch to offline"},
		{"its process cannot be read", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{}}, local, gateway.Session{}, "unknown", "the system does not say"},
		{"but the gateway saw it", Fact{Session: claude.Session{StartedAt: before}, effective: claude.Effective{}}, local, asked(time.Second), "local " + tag, ""},
		{"another server on this machine", Fact{Session: claude.Session{StartedAt: before}, effective: user(claude.Effective{BaseURL: "http://user:secret@127.0.0.1:4000"})}, cloud, gateway.Session{}, "unknown", "its requests go to http://user:xxxxx@127.0.0.1:4000"},
		{"busy, but not through the gateway", Fact{Session: claude.Session{StartedAt: before, Status: "busy", StatusUpdatedAt: after}, effective: toLocal}, local, gateway.Session{}, "unknown " + tag + " behind", "it is busy, but has sent no request"},
		{"busy since a moment", Fact{Session: claude.Session{StartedAt: before, Status: "busy", StatusUpdatedAt: ms(now.Add(-time.Second))}, effective: toLocal}, local, gateway.Session{}, "local " + tag, ""},
		{"busy with a tool", Fact{Session: claude.Session{StartedAt: before, Status: "busy", StatusUpdatedAt: after}, effective: toLocal}, local, asked(40 * time.Second), "local " + tag, ""},
		{"lean", Fact{Session: claude.Session{StartedAt: after}, effective: func() claude.Effective { w := toLocal; w.Agent = machine.LeanAgent; return w }()}, leanly, gateway.Session{}, "local " + tag + " lean", ""},
		{"lean came later", Fact{Session: claude.Session{StartedAt: before}, effective: func() claude.Effective { w := toLocal; w.Agent = machine.LeanAgent; return w }()}, leanly, gateway.Session{}, "local " + tag, ""},
		{"in the cloud where it is forbidden", Fact{Session: claude.Session{StartedAt: after}, effective: toCloud, lock: "~/p/.switchyard.toml:1"}, cloud, gateway.Session{}, "cloud forbidden", "~/p/.switchyard.toml:1 forbids"},
		{"local where the cloud is forbidden", Fact{Session: claude.Session{StartedAt: before}, effective: toLocal, lock: "~/p/.switchyard.toml:1"}, local, gateway.Session{}, "local " + tag, ""},
		{"a killed one's record", Fact{Session: claude.Session{StartedAt: before}, Stale: true}, local, gateway.Session{}, "unknown stale", "its process ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.SessionID = "s"
			w := Evidence{Targets: []machine.Inspected{{Target: claude.Target{}, Status: tt.target}}, Now: now}
			w.Gateway.URL = gatewayURL
			if tt.seen.ID != "" {
				w.Gateway.Sessions = []gateway.Session{tt.seen}
			}
			s, _ := w.judgeOne(tt.facts)
			parts := []string{string(s.Route)}
			for _, p := range []string{s.Model, s.PinnedBy} {
				if p != "" {
					parts = append(parts, p)
				}
			}
			for word, on := range map[string]bool{"lean": s.Lean, "behind": s.Behind, "forbidden": s.Forbidden, "stale": s.Stale} {
				if on {
					parts = append(parts, word)
				}
			}
			if got := strings.Join(parts, " "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if !strings.HasPrefix(s.Reason, tt.reason) || (s.Reason == "") != (tt.reason == "") {
				t.Errorf("reason %q", s.Reason)
			}
			if (s.Behind || s.Forbidden) && s.Remedy == "" {
				t.Error("behind, and no remedy")
			}
		})
	}
}

// A switch gives sessions a moment to follow before one is called behind.
func TestSessionsHaveTimeToFollow(t *testing.T) {
	switched := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	facts := []Fact{{Session: claude.Session{PID: 1, StartedAt: switched.Add(-time.Hour).UnixMilli()}, effective: claude.Effective{Known: true}, pin: "--settings"}}
	w := Evidence{Targets: []machine.Inspected{{Target: claude.Target{}, Status: claude.Status{Route: claude.Local, Since: switched}}}, Now: switched.Add(time.Second)}
	live, _, again := w.Judge(facts)
	if live[0].Behind || !again.Equal(switched.Add(follows)) {
		t.Errorf("behind %t, again %s", live[0].Behind, again)
	}
	w.Now = again
	if live, _, again = w.Judge(facts); !live[0].Behind || !again.IsZero() {
		t.Errorf("behind %t, again %s", live[0].Behind, again)
	}
}
