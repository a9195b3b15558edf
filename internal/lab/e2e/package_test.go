//go:build e2e && linux

package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// bareMachine is a bare Debian in a folder, with a person on it.
type bareMachine struct {
	*testing.T
	root string
}

// debian unpacks a release, from the cache where an earlier run left it.
func debian(t *testing.T, release string) bareMachine {
	t.Helper()
	cache := os.Getenv("LAB_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "switchyard-lab")
	}
	fresh := filepath.Join(cache, "debian-"+release)
	if _, err := os.Stat(fresh); err != nil {
		temp := fresh + ".new"
		if err := os.RemoveAll(temp); err != nil {
			t.Fatal(err)
		}
		run(t, "debootstrap", "--variant=minbase", release, temp)
		if err := os.Rename(temp, fresh); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	run(t, "cp", "-a", fresh, root)
	m := bareMachine{t, root}
	m.do("useradd --create-home dev && mkdir /models")
	return m
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inside is a command on the machine, with mounts of its own, as root or as another user.
func (m bareMachine) inside(user, command string) *exec.Cmd {
	const enter = `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" su - "$1" -c "$2"`
	return exec.CommandContext(m.Context(), "unshare", "--mount", "sh", "-c", enter, m.root, user, command)
}

func (m bareMachine) do(command string) string { return m.as("root", command) }

func (m bareMachine) as(user, command string) string {
	m.Helper()
	out, err := m.inside(user, command).CombinedOutput()
	if err != nil {
		m.Fatalf("%s: %s: %v\n%s", user, command, err, out)
	}
	return string(out)
}

// files are all that is on the machine, but for the package manager's own notes and
// Model Runner's models.
func (m bareMachine) files() (all []string) {
	m.Helper()
	notes := []string{"/proc", "/dev", "/sys", "/var/lib/dpkg", "/var/log", "/var/cache", "/tmp", "/models"}
	err := filepath.WalkDir(m.root, func(path string, e fs.DirEntry, err error) error {
		inside := strings.TrimPrefix(path, m.root)
		if slices.Contains(notes, inside) {
			return fs.SkipDir
		}
		all = append(all, inside)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	return all
}

// The package on bare Debians: installed, used, upgraded over itself while it runs and
// Claude Code is local, removed. Settings are as before, and nothing is left.
func TestThePackage(t *testing.T) {
	packages := t.TempDir()
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"0.9.0", "0.9.1"} {
		cmd := exec.CommandContext(t.Context(), "go", "run", ".", "-version", version, "-only", "linux")
		cmd.Dir = filepath.Join(root, "packaging")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		run(t, "cp", filepath.Join(root, "dist", "switchyard_"+version+"-1_amd64.deb"), packages)
	}
	newest := filepath.Join(packages, "switchyard_0.9.1-1_amd64.deb")
	if out := run(t, "lintian", "--allow-root", "--fail-on", "error,warning", newest); strings.TrimSpace(out) != "" {
		t.Errorf("lintian:\n%s", out)
	}
	store := t.TempDir()
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runner, err := lab.StartRunner(t.Context(), parts, store)
	if err != nil {
		t.Fatal(err)
	}
	if err := runner.Add(t.Context(), "ai/tiny", gguf.Model{}); err != nil {
		t.Fatal(err)
	}
	runner.Stop()
	for _, release := range []string{"bookworm", "trixie"} {
		t.Run(release, func(t *testing.T) {
			m := debian(t, release)
			run(t, "cp", "-r", packages, filepath.Join(m.root, "packages"))
			run(t, "cp", "-r", filepath.Join(store, "models")+"/.", filepath.Join(m.root, "models"))
			run(t, "cp", filepath.Join(parts.EngineDir, "llama-server"), filepath.Join(m.root, "models", "llama-server"))
			const settings = "{\n  \"theme\": \"dark\"\n}\n"
			m.do(`chown -R dev /models && su dev -c "mkdir ~/.claude ~/.config && printf '` + strings.ReplaceAll(strings.ReplaceAll(settings, "\n", `\n`), `"`, `\"`) + `' > ~/.claude/settings.json"`)
			before := m.files()
			read := func() string {
				data, err := os.ReadFile(filepath.Join(m.root, "home", "dev", ".claude", "settings.json"))
				if err != nil {
					t.Error(err)
				}
				return string(data)
			}
			if read() != settings {
				t.Fatalf("the test's own settings are %q", read())
			}
			m.do("dpkg -i /packages/switchyard_0.9.0-1_amd64.deb")
			if out := m.as("dev", "switchyard version"); !strings.Contains(out, "0.9.0") {
				t.Errorf("it says %s", out)
			}
			m.as("dev", "switchyard autostart on")
			app := m.inside("dev", "SWITCHYARD_ENGINE=process SWITCHYARD_LLAMA_SERVER=/models/llama-server MODELS_PATH=/models switchyard")
			said, err := os.Create(filepath.Join(t.TempDir(), "said"))
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			app.Stdout, app.Stderr = said, said
			if err := app.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				_ = app.Wait()
				close(ended)
			}()
			until(t, "its gateway", func() bool { return m.inside("dev", "switchyard gateway").Run() == nil })
			m.as("dev", "switchyard runner start && switchyard local tiny && switchyard check")
			local := read()
			if !strings.Contains(local, "ANTHROPIC_BASE_URL") {
				t.Errorf("after the switch the settings are\n%s", local)
			}
			m.do("dpkg -i /packages/switchyard_0.9.1-1_amd64.deb")
			if out := m.as("dev", "switchyard version && switchyard check && switchyard autostart"); !strings.Contains(out, "0.9.1") || !strings.Contains(out, "starts at login: /usr/bin/switchyard") {
				t.Errorf("after the upgrade it says\n%s", out)
			}
			if read() != local {
				t.Errorf("the upgrade changed the settings to\n%s", read())
			}
			t.Logf("%s", m.do("dpkg -r switchyard"))
			select {
			case <-ended:
			case <-time.After(30 * time.Second):
				t.Error("the program still runs")
			}
			if read() != settings {
				t.Errorf("after the removal the settings are\n%s", read())
			}
			m.do("dpkg -P switchyard")
			after := m.files()
			for _, file := range after {
				if !slices.Contains(before, file) {
					t.Errorf("left: %s", file)
				}
			}
			for _, file := range before {
				if !slices.Contains(after, file) {
					t.Errorf("taken: %s", file)
				}
			}
		})
	}
}

// until waits for something that shows no event.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for limit := time.After(time.Minute); !condition(); {
		select {
		case <-limit:
			t.Fatalf("it never came: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
