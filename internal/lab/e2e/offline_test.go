//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

var peer = regexp.MustCompile(`sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"`)

// outward lists what a trace shows of other machines: addresses that are not this
// one's, and questions to whoever resolves names.
func (u *user) outward(trace string) (tried []string) {
	u.Helper()
	data, err := os.ReadFile(trace)
	if err != nil {
		u.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "/systemd/resolve/") { // nscd's socket is asked for users too, and no proof
			tried = append(tried, "a name")
		}
		if m := peer.FindStringSubmatch(line); m != nil && (m[1] == "53" || !strings.HasPrefix(m[2], "127.") && m[2] != "::1") {
			tried = append(tried, m[2]+":"+m[1])
		}
	}
	return tried
}

// traced is a command whose connections, and those of all its children, are written down.
func traced(trace, command string) []string {
	return []string{"strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", trace, "sh", "-c", command}
}

// In the offline route Claude Code itself connects to nothing outside: by claude -p, and in
// an interactive session of 75 s. That the trace would show it, the local route shows.
func TestNothingGetsOutOffline(t *testing.T) {
	u := newUser(t)
	u.write(u.settings, "{}\n")
	u.live()
	print := func(route string) []string {
		t.Helper()
		trace := filepath.Join(u.home, route+".trace")
		args := traced(trace, u.claude+" -p hello --tools Bash")
		cmd := exec.CommandContext(u.ctx, args[0], args[1:]...)
		cmd.Env, cmd.Dir = u.environ, u.home
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), gguf.Answer) {
			t.Fatalf("%s: %v\n%s", route, err, out)
		}
		return u.outward(trace)
	}
	u.must("local", "tiny")
	if tried := print("local"); len(tried) == 0 {
		t.Error("in the local route the trace shows nothing: it cannot see")
	}
	u.must("offline", "tiny")
	if tried := print("offline"); len(tried) != 0 {
		t.Errorf("claude -p tried %v", tried)
	}
	trace := filepath.Join(u.home, "interactive.trace")
	u.Cleanup(func() { u.tmux("kill-server") })
	begun := time.Now()
	u.tmux("new-session", "-d", "-x", "120", "-y", "45", "-c", u.home, strings.Join(traced(trace, `"`+u.claude+` --tools Bash"`), " "))
	u.until("the session", func() bool { return u.routes() == fmt.Sprintf("%s interactive offline", filepath.Base(u.home)) })
	u.say("a prompt", func() bool { return strings.Contains(u.screen(), gguf.Answer) })
	time.Sleep(75*time.Second - time.Since(begun)) // that nothing comes shows only in time
	if tried := u.outward(trace); len(tried) != 0 {
		t.Errorf("the interactive session tried %v", tried)
	}
	if code, out := u.switchyard("cloud"); code != 3 || !strings.Contains(out, "--yes") {
		t.Errorf("without a word: exit code %d\n%s", code, out)
	}
}
