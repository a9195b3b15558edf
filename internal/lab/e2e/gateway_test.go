//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/gateway"
)

// switchyard runs a command and returns its exit code with what it printed.
func (u *user) switchyard(args ...string) (code int, output string) {
	u.Helper()
	cmd := exec.CommandContext(u.ctx, u.program, args...)
	cmd.Env, cmd.Dir = u.environ, u.home
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		u.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (u *user) must(args ...string) string {
	u.Helper()
	code, out := u.switchyard(args...)
	if code != 0 {
		u.Fatalf("switchyard %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// requests are what the gateway says it served for sessions.
func (u *user) requests() (turns []gateway.Record) {
	u.Helper()
	var all []gateway.Record
	if err := json.Unmarshal([]byte(u.must("requests", "--json")), &all); err != nil {
		u.Fatal(err)
	}
	for _, r := range all {
		if r.SessionID != "" { // the proofs have none
			turns = append(turns, r)
		}
	}
	return turns
}

// few is enough for a system message in mid-conversation.
const few = "Bash,Agent"

// toolCall is a prompt that the engine, real or double, answers with a tool call.
const toolCall = `Call the tool Bash with {"command":"echo the-tool-ran"}`

// The Qwen family's templates refuse what Claude Code sends: directly it fails,
// through the gateway it works, print and session, three turns and a tool call.
func TestAStrictTemplateWorksThroughTheGateway(t *testing.T) {
	u := newUser(t)
	u.add("ai/strict", gguf.Model{Strict: true})
	const original = `{"permissions":{"allow":["Bash(echo:*)"]}}`
	u.write(u.settings, original)
	bus := u.live()

	if code, out := u.switchyard("local", "strict", "--direct"); code != 3 || !strings.Contains(out, "chat template refuses system messages") {
		t.Errorf("directly: exit code %d\n%s", code, out)
	}
	u.must("local", "strict", "--direct", "--force")
	if said, err := u.printWith(few, "hello"); err == nil || !strings.Contains(said, "400") {
		t.Errorf("directly, claude -p said %q, %v; want a refusal", said, err)
	}
	u.must("local", "strict")
	u.until("the mark on Local", func() bool {
		menu, err := bus.Menu()
		return err == nil && strings.Contains(menu[0].Label, "Local · ai/strict")
	})
	said, err := u.printWith(few, "hello")
	if err != nil || !strings.Contains(said, gguf.Answer) {
		t.Errorf("through the gateway, claude -p said %q, %v", said, err)
	}

	u.openSessionWith(few)
	answers := func() int { return strings.Count(u.screen(), gguf.Answer) }
	u.say("first prompt", func() bool { return answers() == 1 })
	u.say(toolCall, func() bool { return answers() == 2 })
	if screen := u.screen(); !strings.Contains(screen, "the-tool-ran") {
		t.Errorf("the tool did not run\n%s", screen)
	}
	u.say("third prompt", func() bool { return answers() == 3 })
	turns := u.requests()
	session := turns[len(turns)-1].SessionID
	var inSession []gateway.Record
	for _, r := range turns {
		if r.Status != 200 || r.Error != "" || r.Model != "docker.io/ai/strict:latest" || r.OutputTokens == 0 || r.TTFT == 0 || r.InputTokens == 0 {
			t.Errorf("%+v", r)
		}
		if r.SessionID == session {
			inSession = append(inSession, r)
		}
	}
	if len(inSession) != 4 {
		t.Errorf("%d requests in the session, want 4: %+v", len(inSession), inSession)
	}
	for i := 1; i < len(inSession); i++ {
		// A prompt's last words change: what ends it becomes what continues it.
		if before, now := inSession[i-1], inSession[i]; now.CachedTokens < before.InputTokens*9/10 {
			t.Errorf("turn %d read %d tokens from the cache, the turn before had %d", i, now.CachedTokens, before.InputTokens)
		}
	}
	if out := u.must("requests"); strings.Count(out, "ai/strict") < 5 {
		t.Errorf("requests prints\n%s", out)
	}
	u.click(bus, "Cloud")
	u.closeSession()
	u.until("the previous settings", func() bool { return u.read() == original })
}

// A prefix that the engine has read is not read again: no less through the
// gateway than directly.
func TestPrefixReuseIsNotWorseThroughTheGateway(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{}")
	u.live()
	cached := map[string]int64{}
	for _, way := range []string{"--direct", "--direct=false"} {
		u.must("local", "tiny", way)
		u.openSessionWith(few)
		u.say("first prompt", func() bool { return strings.Count(u.screen(), gguf.Answer) == 1 })
		u.say("second prompt", func() bool { return strings.Count(u.screen(), gguf.Answer) == 2 })
		cached[way] = u.cached.Load()
		u.closeSession()
		u.tmux("kill-server")
	}
	t.Logf("cached tokens of the second turn: %d directly, %d through the gateway", cached["--direct"], cached["--direct=false"])
	// The gateway drops the billing line and the cache marks: the prompt is a little shorter.
	if direct, through := cached["--direct"], cached["--direct=false"]; direct == 0 || through < direct*95/100 {
		t.Errorf("cached tokens: %d directly, %d through the gateway", direct, through)
	}
	u.must("cloud")
}

// A Switchyard that is killed in mid-session leaves the session working.
func TestKilledInMidSession(t *testing.T) {
	u := newUser(t)
	u.add("ai/strict", gguf.Model{Strict: true})
	const original = "{\n}\n"
	u.write(u.settings, original)
	bus, kill := u.liveToKill()
	u.must("local", "strict")
	u.openSessionWith(few)
	answers := func() int { return strings.Count(u.screen(), gguf.Answer) }
	u.say("first prompt", func() bool { return answers() == 1 })

	kill()
	killed := time.Now()
	u.tmux("send-keys", "-l", "second prompt")
	u.tmux("send-keys", "Enter")
	u.until("the answer of the guard's gateway", func() bool { return answers() == 2 })
	t.Logf("answered %s after the kill", time.Since(killed).Round(10*time.Millisecond))
	if out := u.must("status"); !strings.Contains(out, "Gateway") || strings.Contains(out, "!") {
		t.Errorf("status after the kill:\n%s", out)
	}

	bus.Forget()
	kill = u.tray(append(u.environ, "DBUS_SESSION_BUS_ADDRESS="+bus.Address))
	u.until("the icon of the next start", bus.Registered)
	u.until("the guard's relief", func() bool { return strings.Contains(u.must("status"), "Gateway") })
	u.say("third prompt", func() bool { return answers() == 3 })

	if !u.real { // a real engine does not answer slowly on order
		asked := u.asked.Load()
		u.tmux("send-keys", "-l", "[[slow 2s]] fourth prompt")
		u.tmux("send-keys", "Enter")
		u.until("the request", func() bool { return u.asked.Load() > asked })
		kill() // with an answer on its way
		u.until("the answer to the request that claude made again", func() bool { return answers() == 4 })
	}
	u.must("cloud")
	u.closeSession()
	u.until("the previous settings", func() bool {
		u.must("status") // puts the file back as it was when no tray does
		return u.read() == original
	})
}
