package claude

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

// childEnv makes the test binary do one switch and die or fail on the way:
// "<route> <nth step> <kill|errno>".
const childEnv = "SWITCHYARD_TEST_SWITCH"

func TestMain(m *testing.M) {
	if order := os.Getenv(childEnv); order != "" {
		os.Exit(switchAndDie(order))
	}
	alone.Main(m)
}

func switchAndDie(order string) int {
	fields := strings.Fields(order)
	nth, _ := strconv.Atoi(fields[1])
	l := OpenLedger(os.Getenv("LEDGER"))
	steps := 0
	l.disk.step = func(when, op, path string) error {
		if steps++; steps != nth {
			return nil
		}
		fmt.Printf("%s %s %s\n", when, op, filepath.Base(path))
		if fields[2] == "kill" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return syscall.EIO
	}
	to := destination
	to.Model = fields[3]
	target := UserTarget(os.Getenv("TARGET"))
	var err error
	switch route := Route(fields[0]); route {
	case repoint:
		_, err = l.Repoint(context.Background(), target, gatewayAddress)
	case lean:
		to.Agent = leanAgent
		_, err = l.Switch(context.Background(), target, Local, to, nil)
	default:
		_, err = l.Switch(context.Background(), target, route, to, nil)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if steps < nth {
		return 3 // there is no such step
	}
	return 0
}

// child runs one switch in a process of its own; last is true when it had fewer steps.
func (h home) child(t *testing.T, route Route, model string, nth int, how string) (output string, last bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s %s", childEnv, route, nth, how, model), "LEDGER="+h.ledger.Dir(), "TARGET="+h.Dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), exit != nil && exit.ExitCode() == 3
}

// repoint stands for a journey from local to the same model another way.
const repoint Route = "repoint"

var gatewayAddress = Destination{BaseURL: "http://127.0.0.1:12480", Token: "switchyard-secret", Way: Gateway, Direct: destination.BaseURL}

// journeys are switches that can be interrupted, each from a file in a state.
var journeys = []struct {
	name   string
	file   string // "-" for none
	before []Route
	to     Route
}{
	{"cloud to local", "{\n  \"theme\": \"dark\"\n}", nil, Local},
	{"no file to local", "-", nil, Local},
	{"local to cloud", "{\"env\":{\"ANTHROPIC_BASE_URL\":\"https://gw\"}}\n", []Route{Local}, Cloud},
	{"local to no file", "-", []Route{Local}, Cloud},
	{"local to offline", "{}", []Route{Local}, Offline},
	{"cloud to lean", "{\"agent\": {\"a\": [1]}, \"env\":{}}", nil, lean},
	{"no file to lean", "-", nil, lean},
	{"lean to local", "{\n  \"theme\": \"dark\"\n}", []Route{lean}, Local},
	{"lean to cloud", "{\n\t\"agent\": \"mine\"\n}", []Route{lean}, Cloud},
	{"local to the gateway", "{\"env\":{\"ANTHROPIC_AUTH_TOKEN\":\"mine\"}}", []Route{Local}, repoint},
}

func TestKilledAtAnyStep(t *testing.T) { interrupted(t, "kill") }

func TestDiskFailsAtAnyStep(t *testing.T) { interrupted(t, "EIO") }

func interrupted(t *testing.T, how string) {
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			for nth := 1; ; nth++ {
				if nth > 200 {
					t.Fatal("the transaction never ends")
				}
				h := newHome(t)
				if j.file != "-" {
					h.put(t, j.file)
				}
				for _, route := range j.before {
					h.to(t, route)
				}
				old, _ := readIfExists(h.File)
				where, last := h.child(t, j.to, destination.Model, nth, how)
				if last {
					if nth < 10 {
						t.Fatalf("only %d steps were tried", nth-1)
					}
					return
				}
				now, _ := readIfExists(h.File)
				aside := how == "kill" && j.to == Cloud && j.file == "-"
				if isNew := h.isRoute(t, now, j.file, j.to); !isNew && !sameBytes(now, old) && !aside {
					t.Fatalf("%s: the file is neither old nor new: %q", where, now)
				}
				if _, err := h.ledger.Tidy(t.Context()); err != nil {
					t.Fatalf("%s: the next start fails: %v", where, err)
				}
				h.to(t, Local)
				h.to(t, Cloud)
				got, err := readIfExists(h.File)
				if err != nil {
					t.Fatal(err)
				}
				if want := map[bool][]byte{true: nil, false: []byte(j.file)}[j.file == "-"]; !sameBytes(got, want) {
					t.Fatalf("%s: restored to %q, want %q", where, got, want)
				}
				if j.file != "-" {
					wantTidyFolder(t, h.Dir, "settings.json")
				}
			}
		})
	}
}

// isRoute reports whether the file is exactly what a switch to the route writes.
func (h home) isRoute(t *testing.T, now []byte, original string, route Route) bool {
	t.Helper()
	var base []byte
	if original != "-" {
		base = []byte(original)
	}
	e := entry{Target: h.Target, Route: route}
	values := Values(route, destination)
	if route == lean {
		values = Values(Local, destination)
		values[agentKey] = leanAgent.Name
	}
	if route == repoint {
		values = Values(Local, destination)
		values[baseURLKey], values[tokenKey] = gatewayAddress.BaseURL, gatewayAddress.Token
	}
	want, err := e.edit(base, base, values, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sameBytes(now, want)
}

// tmpfs mounts a small file system for the test.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("cannot mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskFull(t *testing.T) {
	if !alone.Mounts(t) {
		return
	}
	for _, full := range []string{"settings", "ledger"} {
		t.Run(full, func(t *testing.T) {
			small := tmpfs(t, "64k")
			h := newHome(t)
			if full == "settings" {
				h.Target = UserTarget(filepath.Join(small, ".claude"))
			} else {
				h.ledger = OpenLedger(filepath.Join(small, "ledger"))
			}
			original := "{\"theme\":\"dark\"}\n"
			h.put(t, original)
			filler := filepath.Join(small, "filler")
			fill(t, filler)
			if _, err := h.ledger.Switch(t.Context(), h.Target, Local, destination, nil); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v, want %v", err, syscall.ENOSPC)
			}
			if got := h.get(t); got != original {
				t.Fatalf("the file is now %q", got)
			}
			wantTidyFolder(t, h.Dir, "settings.json")
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			h.to(t, Local)
			fill(t, filler)
			_, err := h.ledger.Switch(t.Context(), h.Target, Cloud, Destination{}, nil)
			if status, _ := h.ledger.Inspect(h.Target); err != nil && status.Route != Local {
				t.Errorf("a failed return left the route at %s", status.Route)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			h.to(t, Cloud)
			if got := h.get(t); got != original {
				t.Errorf("restored to %q", got)
			}
		})
	}
}

// fill writes until the disk is full, to the last byte.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, chunk := range []int{4096, 1} {
		for block := bytes.Repeat([]byte("x"), chunk); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

// Nothing is written where nothing may be; this user's own share of
// TestNotOursToWrite, which takes root.
func TestAFolderThatIsReadOnly(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere: TestNotOursToWrite becomes another user")
	}
	h := openHome(t)
	wantReadOnly(t, h, func() error {
		_, err := h.ledger.Switch(t.Context(), h.Target, Local, destination, nil)
		return err
	})
}

// wantReadOnly makes the folder read-only and wants a switch to say so.
func wantReadOnly(t *testing.T, h home, local func() error) {
	t.Helper()
	h.put(t, "{}")
	if err := os.Chmod(h.Dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(h.Dir, 0o755) })
	if err := local(); err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Errorf("got %v", err)
	}
	wantUntouched(t, h, "{}")
}

// Root makes files of two users, and becomes the other one.
func TestNotOursToWrite(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make another user's files; TestAFolderThatIsReadOnly is for everybody else")
	}
	const nobody = 65534
	run := func(h home, route Route) error {
		binary := filepath.Join(h.dir, "switch")
		data, err := os.ReadFile(os.Args[0])
		if err := errors.Join(err, os.WriteFile(binary, data, 0o755)); err != nil {
			return err
		}
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s 1000 kill %s", childEnv, route, destination.Model), "LEDGER="+h.ledger.Dir(), "TARGET="+h.Dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		return fmt.Errorf("%w %s", err, out)
	}
	t.Run("another owner's file in my folder", func(t *testing.T) {
		h := openHome(t)
		h.put(t, "{}")
		if err := errors.Join(os.Chmod(h.File, 0o646), os.Chown(h.Dir, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		if err := run(h, Local); !strings.Contains(err.Error(), "owner") {
			t.Errorf("got %v", err)
		}
		wantUntouched(t, h, "{}")
	})
	t.Run("read-only folder", func(t *testing.T) {
		h := openHome(t)
		h.put(t, "{}")
		if err := os.Chown(h.File, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		wantReadOnly(t, h, func() error { return run(h, Local) })
	})
	t.Run("root keeps the owner", func(t *testing.T) {
		h := newHome(t)
		h.put(t, "{}")
		if err := os.Chown(h.File, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		for _, route := range []Route{Local, Cloud} {
			h.to(t, route)
			info, err := os.Stat(h.File)
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Uid != nobody || owner.Gid != nobody {
				t.Errorf("%s: owner is %d:%d", route, owner.Uid, owner.Gid)
			}
		}
	})
}

// openHome is a home that another user can reach.
func openHome(t *testing.T) home {
	h := newHome(t)
	state := filepath.Join(h.dir, "state")
	if err := errors.Join(os.MkdirAll(state, 0o777), os.Chmod(state, 0o777)); err != nil {
		t.Fatal(err)
	}
	for dir := h.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func wantUntouched(t *testing.T, h home, file string) {
	t.Helper()
	if got := h.get(t); got != file {
		t.Errorf("the file is now %q", got)
	}
	wantTidyFolder(t, h.Dir, "settings.json")
}
