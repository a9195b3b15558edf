package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	{"service/wake service/words assets", "what every package may import imports none of the others"},
	{"service/gateway/document", ""},
	{"service/gateway/shape", ""},
	{"service/gateway/verdict", ""},
	{"gpu service/autostart service/claude service/engine service/fence service/gateway service/network service/power service/release service/runner",
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
	{"cli tray", "the faces show the same State: what one of them needs of the other belongs in a room"},
	{".", ""},
}

const (
	upward = "arrows go down only: what is below takes a value, a function or a small interface from its caller"
	lab    = "the lab is for tests, demo and benchmarks: it must not get into the program"
)

// holders are libraries that one package alone may know, so that it can be replaced there.
var holders = map[string]string{
	"github.com/docker/docker/client":             "service/engine",
	"github.com/NVIDIA/go-nvml/pkg/nvml":          "gpu",
	"github.com/gen2brain/beeep":                  "tray",
	"fyne.io/systray":                             "tray",
	"gopkg.in/natefinch/lumberjack.v2":            "service/config",
	"github.com/shirou/gopsutil/v4/disk":          "service/pulls service/doctor",
	"github.com/tailscale/hujson":                 "service/claude",
	"github.com/spf13/cobra":                      "cli",
	"github.com/godbus/dbus/v5":                   "tray service/network",
	"github.com/go-json-experiment/json/jsontext": "service/gateway/document service/gateway/shape service/gateway",
	"github.com/BurntSushi/toml":                  "service/config",
}

func TestTheWalls(t *testing.T) {
	level := map[string]int{}
	for i, f := range house {
		for _, name := range strings.Fields(f.packages) {
			level[name] = i
		}
	}
	for _, a := range arrows(t) {
		at, ok := level[a.from]
		if !ok {
			t.Fatalf("%s stands on no floor of the house: put it into the table", a.from)
		}
		refuse := func(why string) { t.Errorf("%s must not know %s, because %s (%s)", a.from, a.to, why, a.file) }
		if who := holders[a.to]; who != "" && !a.test && !slices.Contains(strings.Fields(who), a.from) {
			refuse("only " + who + " does: a library is held in one place")
		}
		if strings.HasPrefix(a.to, "internal/") && !a.test {
			refuse(lab)
		}
		switch to, ours := level[a.to]; {
		case !ours || a.to == a.from || to < at:
		case to == at:
			refuse(house[at].neighbours)
		default:
			refuse(upward)
		}
	}
	for name := range level {
		if _, err := os.Stat(filepath.FromSlash(name)); err != nil {
			t.Errorf("%s is in the house's table and nowhere else", name)
		}
	}
}

// arrow is a package that a file imports; one of ours by its folder.
type arrow struct {
	from, to string
	file     string
	test     bool
}

// arrows reads the imports of every file of the program, whatever system it is for.
func arrows(t *testing.T) (all []arrow) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file == "internal" || file == "packaging" || file != "." && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			to, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to = strings.TrimPrefix(to, "github.com/switchyard-app/switchyard/")
			all = append(all, arrow{filepath.ToSlash(filepath.Dir(file)), to, file, strings.HasSuffix(file, "_test.go")})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
