//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// inNamespace reports whether the test runs in a network namespace of its own, where only the
// loopback device is up. If not, it builds what is needed more, and runs the test there.
func inNamespace(t *testing.T, more ...func() error) bool {
	t.Helper()
	const inside = "TEST_INSIDE"
	if os.Getenv(inside) != "" {
		return true
	}
	for _, build := range append(more, // what needs a network, before there is none
		func() error { _, err := lab.Build(t.Context()); return err },
		func() error { _, err := lab.Claude(t.Context()); return err },
		func() error { _, err := lab.Switchyard(t.Context()); return err },
	) {
		if err := build(); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`,
		self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(alone.Outside(), inside+"=1") // it cleans its own, and builds with the caches outside
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network of its own: %v", err)
	}
	return false
}

// From cold, on a machine that has no network at all: the runner starts, Claude Code
// starts, answers, edits a file; the departure check finds nothing.
func TestFromColdWithoutANetwork(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	u := newUser(t)
	u.write(u.settings, "{}\n")
	parts, err := lab.Build(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	u.runner.Stop()
	u.environ = append(slices.DeleteFunc(u.environ, func(pair string) bool { return strings.HasPrefix(pair, "MODEL_RUNNER_HOST=") }),
		"SWITCHYARD_ENGINE=process", "SWITCHYARD_MODEL_RUNNER="+parts.ModelRunner, "SWITCHYARD_LLAMA_SERVER="+filepath.Join(parts.EngineDir, "llama-server"),
		"MODELS_PATH="+filepath.Join(u.store, "models"), "PATH="+filepath.Dir(u.claude)+":"+os.Getenv("PATH"))
	took := func(what string, begun time.Time) {
		t.Logf("%-40s %5d ms", what, time.Since(begun).Milliseconds())
	}
	begun := time.Now()
	u.live()
	took("Switchyard and its icon", begun)
	begun = time.Now()
	u.must("offline", "tiny")
	took("the runner's start, the proofs, the switch", begun)
	begun = time.Now()
	if out := u.must("check", "--departure"); !strings.Contains(out, "Ready. To go offline: switchyard offline") {
		t.Errorf("the departure check says\n%s", out)
	}
	took("the departure check, with a warm model", begun)
	begun = time.Now()
	if said, err := u.print("hello"); err != nil || !strings.Contains(said, gguf.Answer) {
		t.Fatalf("claude -p said %q, %v", said, err)
	}
	took("claude -p", begun)

	file := filepath.Join(u.home, "sum.sh")
	u.write(file, "echo $(($1 - $2))\n")
	begun = time.Now()
	session := []string{"--permission-mode", "acceptEdits", "-p"}
	for i, step := range []string{
		fmt.Sprintf(`Call the tool Read with {"file_path":%q}`, file),
		fmt.Sprintf(`Call the tool Edit with {"file_path":%q,"old_string":"$1 - $2","new_string":"$1 + $2"}`, file),
	} {
		args := append(slices.Clone(session), step)
		if i > 0 {
			args = append(args, "--continue")
		}
		if said, err := u.claudePrints(args...); err != nil {
			t.Fatalf("%s: %q, %v", step, said, err)
		}
	}
	took("a file read and edited, two turns", begun)
	if data, _ := os.ReadFile(file); string(data) != "echo $(($1 + $2))\n" {
		t.Errorf("the file is now %q", data)
	}
	begun = time.Now()
	if out := u.must("offline", "--verify"); !strings.Contains(out, "0 names looked up, 0 connections to other machines tried") {
		t.Errorf("the proof says\n%s", out)
	}
	took("offline --verify", begun)
	begun = time.Now()
	u.must("runner", "restart")
	took("the runner's restart", begun)
	u.must("cloud", "--yes")
	if u.read() != "{}\n" {
		t.Errorf("the settings are now\n%s", u.read())
	}
}

// ip configures the network that the test has for itself.
func (u *user) ip(args string) {
	u.Helper()
	if out, err := exec.CommandContext(u.ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		u.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// A network that flaps a hundred times switches and tells nothing; one that is gone
// leads to offline, and back when it has returned, but not while a request is under way.
func TestANetworkThatComesAndGoes(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	u := newUser(t)
	const settings = "{\n  \"theme\": \"dark\"\n}\n"
	u.write(u.settings, settings)
	u.ip("link add wire type veth peer name far")
	u.ip("link set far up")
	u.ip("addr add 192.0.2.2/24 dev wire")
	u.ip("link set wire up")
	u.ip("route add default via 192.0.2.1")
	u.environ = append(u.environ, "SWITCHYARD_AUTO=switch", "PATH="+filepath.Dir(u.claude)+":"+os.Getenv("PATH"))
	bus := u.live()
	u.until("the model in the menu", func() bool { return u.hasRowOn(bus, "ai/tiny") })
	for range 100 {
		u.ip("link set wire down")
		u.ip("link set wire up")
		u.ip("route add default via 192.0.2.1")
	}
	if told := bus.Notifications(); u.read() != settings || len(told) != 0 {
		t.Errorf("after a hundred times: told %v, the settings are\n%s", told, u.read())
	}
	u.ip("link set wire down")
	u.until("the switch to offline", func() bool { return strings.Contains(u.must("status"), "offline") })
	u.until("a departure check", func() bool { return len(bus.Notifications()) == 1 })

	answered := make(chan error, 1)
	go func() {
		said, err := u.print("[[slow 40s]] hello")
		if err == nil && !strings.Contains(said, gguf.Answer) {
			err = fmt.Errorf("it said %q", said)
		}
		answered <- err
	}()
	u.until("the request", func() bool { return u.asked.Load() > 0 && strings.Contains(u.must("gateway"), "1 running") })
	u.ip("link set wire up")
	u.ip("route add default via 192.0.2.1")
	if err := <-answered; err != nil {
		t.Errorf("the request during which the network returned: %v", err)
	}
	log := func() string {
		data, _ := os.ReadFile(filepath.Join(u.home, ".local", "state", "switchyard", "switchyard.log"))
		return string(data)
	}
	if strings.Contains(log(), `msg=switch route=cloud`) {
		t.Error("switched in mid-request")
	}
	u.until("the switch back", func() bool { return strings.Contains(log(), `msg=switch route=cloud`) })
	u.until("the previous settings", func() bool { return u.read() == settings })
	if n := strings.Count(log(), "msg=switch "); n != 2 {
		t.Errorf("%d switches", n)
	}
	if told := bus.Notifications(); len(told) != 1 {
		t.Errorf("told %v", told)
	}
}
