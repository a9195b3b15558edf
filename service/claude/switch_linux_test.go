package claude

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// session starts a process that counts as a running Claude Code of the target.
func (h home) session(t *testing.T, cwd string) (end func()) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[19]
	record, _ := json.Marshal(Session{PID: cmd.Process.Pid, CWD: cwd, ProcStart: start, Kind: "interactive"})
	dir := filepath.Join(h.ConfigDir, "sessions")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, fmt.Sprint(cmd.Process.Pid)+".json"), record, 0o600)); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	return end
}

func TestReturnInTwoSteps(t *testing.T) {
	for _, original := range []string{
		"{\n  \"theme\": \"dark\"\n}\n",
		"{\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://gw.example\",\n    \"FOO\": \"bar\"\n  }\n}\n",
	} {
		h := newHome(t)
		h.put(t, original)
		end := h.session(t, "/somewhere")
		h.to(t, Local)
		out := h.to(t, Cloud)
		if len(out.Waiting) != 1 {
			t.Fatalf("waiting for %d sessions, want 1", len(out.Waiting))
		}
		was, _ := parse([]byte(original))
		now, err := parse([]byte(h.get(t)))
		if err != nil {
			t.Fatal(err)
		}
		for name := range Values(Local, destination) {
			want := was.value(name)
			if want == nil {
				want = new(string) // "" moves a running session, deleting does not
			}
			if got := now.value(name); !same(got, want) {
				t.Errorf("%s is %v while the session lives", name, got)
			}
		}
		if left, err := h.ledger.Tidy(t.Context()); err != nil || len(left) != 1 {
			t.Errorf("tidied too early: %v %v", left, err)
		}
		end()
		if left, err := h.ledger.Tidy(t.Context()); err != nil || len(left) != 0 {
			t.Errorf("%v %v", left, err)
		}
		if got := h.get(t); got != original {
			t.Errorf("after the session's end:\n%q\nwant\n%q", got, original)
		}
	}
}

func TestReturnDoesNotWaitForOthers(t *testing.T) {
	h := newHome(t)
	project := filepath.Join(h.dir, "project")
	if err := os.MkdirAll(project, 0o755); err != nil {
		t.Fatal(err)
	}
	end := h.session(t, "/elsewhere")
	h.Target = ProjectTarget(project, h.ConfigDir)
	h.to(t, Local)
	if out := h.to(t, Cloud); len(out.Waiting) != 0 {
		t.Error("waits for a session of another folder")
	}
	end()
	if live, err := Sessions(h.ConfigDir); err != nil || len(live) != 0 {
		t.Errorf("a dead process counts as a session: %v %v", live, err)
	}
}

func TestLocalAgainWhileReturning(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}\n")
	end := h.session(t, "/")
	h.to(t, Local)
	h.to(t, Cloud)
	h.to(t, Local)
	wantLocal(t, "{}", h.get(t))
	h.to(t, Cloud)
	end()
	if _, err := h.ledger.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.get(t); got != "{}\n" {
		t.Errorf("got %q", got)
	}
}

func TestChangesOfOthersAreKept(t *testing.T) {
	const original = "{\n  \"theme\": \"dark\",\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://gw.example\"\n  }\n}\n"
	tests := []struct {
		name   string
		change func(local string) string
		want   string
		kept   []string
	}{
		{"another setting", replace(`"dark"`, `"light"`), strings.Replace(original, "dark", "light", 1), nil},
		{"another variable", replace(`"env": {`, `"env": {"MINE": "1",`), strings.Replace(original, `"env": {`, `"env": {"MINE": "1",`, 1), nil},
		{"our variable", replace(destination.BaseURL, "https://new.example"), strings.Replace(original, "gw.example", "new.example", 1), []string{"ANTHROPIC_BASE_URL"}},
		{"our variable put back", replace(destination.BaseURL, "https://gw.example"), original, nil},
		{"file emptied", func(string) string { return "{}" }, "{}", []string{"ANTHROPIC_BASE_URL"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			h.put(t, original)
			h.to(t, Local)
			h.put(t, tt.change(h.get(t)))
			out := h.to(t, Cloud)
			if got := h.get(t); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if !slices.Equal(out.Kept, tt.kept) {
				t.Errorf("reported %q, want %q", out.Kept, tt.kept)
			}
		})
	}
}

func TestTheEnvThatTheSwitchMadeGoesWithIt(t *testing.T) {
	h := newHome(t)
	h.put(t, "{\n  \"theme\": \"dark\"\n}\n")
	h.to(t, Local)
	h.put(t, strings.Replace(h.get(t), "dark", "light", 1))
	h.to(t, Cloud)
	if got := h.get(t); got != "{\n  \"theme\": \"light\"\n}\n" {
		t.Errorf("got %s", got)
	}
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

func TestDriftIsSeen(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}")
	h.to(t, Local)
	h.put(t, strings.Replace(h.get(t), destination.BaseURL, "https://elsewhere", 1))
	status, err := h.ledger.Inspect(h.Target)
	if err != nil {
		t.Fatal(err)
	}
	if status.Route != Cloud || status.BaseURL != "https://elsewhere" || !slices.Equal(status.Drift, []string{"ANTHROPIC_BASE_URL"}) {
		t.Errorf("%+v", status)
	}
}

func TestPutBackByHandIsNoDrift(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}")
	h.to(t, Local)
	h.put(t, "{}")
	if out, err := h.ledger.Verify(t.Context(), h.Target); err != nil || out.Changed {
		t.Errorf("no session runs, and yet the switch was applied again: %+v %v", out, err)
	}
	status, err := h.ledger.Inspect(h.Target)
	if err != nil || status.Route != Cloud || len(status.Drift) > 0 {
		t.Errorf("%+v %v", status, err)
	}
	h.to(t, Cloud)
	if got := h.get(t); got != "{}" {
		t.Errorf("got %q", got)
	}
}

func TestALostCopyIsSurvived(t *testing.T) {
	h := newHome(t)
	const original = "{\n  \"theme\": \"dark\",\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://gw\"\n  }\n}\n"
	h.put(t, original)
	h.to(t, Local)
	copies, err := filepath.Glob(filepath.Join(h.ledger.Dir(), "*", "before-*"))
	if err != nil || len(copies) != 1 {
		t.Fatal(copies, err)
	}
	if err := os.WriteFile(copies[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.to(t, Cloud)
	if got := h.get(t); got != original {
		t.Errorf("got %q", got)
	}
	h.to(t, Local)
	entries, _ := filepath.Glob(filepath.Join(h.ledger.Dir(), "*", "entry.json"))
	local := h.get(t)
	if err := os.WriteFile(entries[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = h.ledger.Switch(t.Context(), h.Target, Cloud, Destination{}, nil)
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Remedy, "before-") || h.get(t) != local {
		t.Errorf("a damaged record: %v", err)
	}
}

func TestAnotherModelThenCloud(t *testing.T) {
	h := newHome(t)
	const original = `{"env":{"ANTHROPIC_DEFAULT_OPUS_MODEL":"mine"}}`
	h.put(t, original)
	for _, model := range []string{"a", "b", "c"} {
		to := destination
		to.Model = model
		if _, err := h.ledger.Switch(t.Context(), h.Target, Local, to, nil); err != nil {
			t.Fatal(err)
		}
		if status, _ := h.ledger.Inspect(h.Target); status.Model != model || len(status.Drift) > 0 {
			t.Errorf("%+v", status)
		}
	}
	h.to(t, Cloud)
	if got := h.get(t); got != original {
		t.Errorf("got %s", got)
	}
}

func TestTwoAtOnce(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}")
	h.to(t, Local)
	unlock, err := h.ledger.folder(h.Target).lock(t.Context(), h.ledger.wait)
	if err != nil {
		t.Fatal(err)
	}
	second := OpenLedger(h.ledger.Dir())
	second.wait = 20 * time.Millisecond
	_, err = second.Switch(t.Context(), h.Target, Cloud, Destination{}, nil)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Holder != fmt.Sprint(os.Getpid()) {
		t.Errorf("got %v, want who holds it", err)
	}
	unlock()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			route := []Route{Local, Cloud, Offline}[i%3]
			if _, err := OpenLedger(h.ledger.Dir()).Switch(t.Context(), h.Target, route, destination, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	h.to(t, Cloud)
	if got := h.get(t); got != "{}" {
		t.Errorf("got %q", got)
	}
}

// claudeWriter does what Claude Code does when a setting is changed in its
// menus: it takes the file as it remembers it, and writes the whole of it some
// time later, by a temp file and a rename, without a lock.
type claudeWriter struct{ file string }

func (c claudeWriter) write(t *testing.T, theme string, wait time.Duration) {
	data, err := os.ReadFile(c.file)
	if err != nil {
		t.Error(err)
		return
	}
	time.Sleep(wait)
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Error(err)
		return
	}
	m["theme"] = theme
	out, _ := json.MarshalIndent(m, "", "  ")
	temp := c.file + ".tmp." + theme
	if err := errors.Join(os.WriteFile(temp, append(out, '\n'), 0o600), os.Rename(temp, c.file)); err != nil {
		t.Error(err)
	}
}

// A switch and a Claude Code that writes stale settings 0.05 to 2 s later: both
// changes must stand in the end. The clock is the bubble's, the files are real.
func TestStaleWriterLosesNothing(t *testing.T) {
	interleavings := 1000
	if testing.Short() {
		interleavings = 50
	}
	random := rand.New(rand.NewPCG(1, 2))
	again := 0
	for i := range interleavings {
		reads := time.Duration(random.IntN(300)) * time.Millisecond
		waits := 50*time.Millisecond + time.Duration(random.IntN(1950))*time.Millisecond
		route := []Route{Local, Cloud}[i%2]
		h := newHome(t)
		h.put(t, "{\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://gw.example\"\n  },\n  \"theme\": \"dark\"\n}\n")
		end := h.session(t, "/")
		if route == Cloud {
			h.to(t, Local)
		}
		synctest.Test(t, func(t *testing.T) {
			var writer sync.WaitGroup
			writer.Go(func() { claudeWriter{h.File}.write(t, "light", reads+waits) })
			time.Sleep(reads)
			h.to(t, route)
			out, err := h.ledger.Settle(t.Context(), h.Target)
			if err != nil {
				t.Error(err)
			}
			again += out.Again
			writer.Wait()
		})
		end()
		if _, err := h.ledger.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		doc, err := parse([]byte(h.get(t)))
		if err != nil {
			t.Fatal(err)
		}
		if theme, _ := doc.text("theme"); theme.Value != "light" {
			t.Fatalf("%d: read %v before the switch to %s, written %v later: Claude Code's change is lost", i, reads, route, waits)
		}
		want := map[Route]string{Local: destination.BaseURL, Cloud: "https://gw.example"}[route]
		if got := doc.value(baseURLKey); got == nil || *got != want {
			t.Fatalf("%d: read %v before the switch to %s, written %v later: the switch is lost", i, reads, route, waits)
		}
	}
	if again < interleavings/4 {
		t.Errorf("only %d of %d needed a repair: the writer is not in the way", again, interleavings)
	}
	t.Logf("%d interleavings, %d repairs, 0 losses", interleavings, again)
}

// The instant between the last look and the move is closed by exchanging the
// files: whatever was there comes back and goes in again.
func TestWriterInTheLastInstant(t *testing.T) {
	for _, route := range []Route{Local, Cloud} {
		h := newHome(t)
		h.put(t, "{\n  \"theme\": \"dark\"\n}\n")
		if route == Cloud {
			h.to(t, Local)
		}
		wrote := false
		h.ledger.disk.step = func(when, op, _ string) error {
			if when == "before" && op == "exchange" && !wrote {
				wrote = true
				claudeWriter{h.File}.write(t, "light", 0)
			}
			return nil
		}
		h.to(t, route)
		h.ledger.disk.step = nil
		if !wrote {
			t.Fatal("nothing was exchanged")
		}
		doc, _ := parse([]byte(h.get(t)))
		if theme, _ := doc.text("theme"); theme.Value != "light" {
			t.Errorf("to %s: the other writer's change is lost", route)
		}
		if local := doc.value(baseURLKey) != nil; local != (route == Local) {
			t.Errorf("to %s: the switch is lost", route)
		}
		wantTidyFolder(t, h.Dir, "settings.json")
	}
}

func TestValuesFitTheContext(t *testing.T) {
	tests := []struct {
		context                int
		window, output, tokens string
	}{
		{0, "100000", "4096", ""},
		{32768, "100000", "4096", "32768"},
		{65536, "100000", "8192", "65536"},
		{131072, "131072", "16384", "131072"},
		{262144, "200000", "32000", "262144"},
	}
	for _, tt := range tests {
		v := Values(Local, Destination{Context: tt.context})
		if v["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] != tt.window || v["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] != tt.output || v["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] != tt.tokens {
			t.Errorf("context %d: %v", tt.context, v)
		}
	}
	if _, there := Values(Local, destination)["ANTHROPIC_MODEL"]; there {
		t.Error("ANTHROPIC_MODEL is not reloaded by running sessions and must not be set")
	}
}
