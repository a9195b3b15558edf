package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floor is a storey of the house. Its packages may know those of the floors below, and
// none of their own: neighbours says why.
type floor struct {
	packages   string
	neighbours string
}

// house lists the floors from the ground up. docs/architecture.md has it as a picture.
var house = []floor{
	{"service/wake service/words assets", "what everybody may know, knows nobody"},
	{"gpu service/autostart service/claude service/engine service/fence service/gateway service/network service/release service/runner",
		"leaves do not know each other: each can be read, tested and replaced alone; whoever needs both passes a value from one to the other"},
	{"service/state", ""},
	{"service/fault", ""},
	{"service/config", ""},
	{"service/machine", ""},
	{"service/memory", ""},
	{"service/localrunner service/localclaude service/login", "each looks after one program of this machine"},
	{"service/control", ""},
	{"service/door service/keeper service/lean service/models service/pulls service/sessions service/settings",
		"rooms do not know each other: a room takes wishes and gives facts, both values; the supervisor brings them together"},
	{"service/status", ""},
	{"service/doctor service/launch service/offline service/switching service/uninstall", "a use case is not a part of another one: what both need is a room"},
	{"service", ""},
	{"cli tray", "the faces show the same State: what one of them needs of the other belongs into a room"},
	{".", ""},
}

const (
	upward = "arrows go down only: what is below takes a value, a function or a small interface from its caller"
	lab    = "the lab is for tests, demo and benchmarks: it must not get into the program"
)

// holders are libraries that one package alone may know, so that it can be replaced there.
var holders = map[string]string{
	"github.com/docker/docker/client":    "service/engine",
	"github.com/NVIDIA/go-nvml/pkg/nvml": "gpu",
	"github.com/gen2brain/beeep":         "tray",
	"fyne.io/systray":                    "tray",
	"gopkg.in/natefinch/lumberjack.v2":   "service/config",
	"github.com/shirou/gopsutil/v4/disk": "service/pulls service/doctor",
	"github.com/tailscale/hujson":        "service/claude",
	"github.com/spf13/cobra":             "cli",
	"github.com/godbus/dbus/v5":          "tray service/network",
	"github.com/go-json-experiment/json": "service/gateway",
	"github.com/BurntSushi/toml":         "service/config",
}

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestTheWalls(t *testing.T) {
	const module = "github.com/switchyard-app/switchyard"
	short := func(path string) string {
		if path == module {
			return "."
		}
		return strings.TrimPrefix(path, module+"/")
	}
	level := map[string]int{}
	for i, f := range house {
		for _, name := range strings.Fields(f.packages) {
			level[name] = i
		}
	}
	seen := map[string]bool{}
	for _, system := range []string{"linux", "windows", "darwin"} {
		for _, p := range list(t, system) {
			from := short(p.ImportPath)
			if strings.HasPrefix(from, "internal/") {
				continue
			}
			at, ok := level[from]
			if !ok {
				t.Fatalf("%s stands on no floor of the house: put it into the table", from)
			}
			seen[from] = true
			for _, path := range p.Imports {
				if strings.HasPrefix(path, module+"/internal/") {
					t.Errorf("%s must not know %s, because %s", from, short(path), lab)
				}
				if who := holders[path]; who != "" && !slices.Contains(strings.Fields(who), from) {
					t.Errorf("%s must not know %s, because only %s does: a library is held in one place", from, short(path), who)
				}
			}
			for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				to := short(path)
				below, ours := level[to]
				switch {
				case !ours || to == from || below < at:
				case below == at:
					t.Errorf("%s must not know %s, because %s", from, to, house[at].neighbours)
				default:
					t.Errorf("%s must not know %s, because %s", from, to, upward)
				}
			}
		}
	}
	for name := range level {
		if !seen[name] {
			t.Errorf("%s is in the house's table, and is no package", name)
		}
	}
}

// list asks the go command for the module's packages as another system builds them.
func list(t *testing.T, system string) (all []listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Env = append(cmd.Environ(), "GOOS="+system, "GOFLAGS=")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("go list: %w\n%s", err, &problems))
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var one listed
		switch err := dec.Decode(&one); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, one)
	}
}
