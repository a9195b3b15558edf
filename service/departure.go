package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	flight     = 24 * time.Hour // how long a login shall hold
	batteryLow = 30             // per cent
)

// Departure returns what would go wrong without a network for a Claude Code in a
// folder, the worst first: what the set-up lacks, and what would want to get out.
// That the model answers is for Check to prove.
func (y *Yard) Departure(ctx context.Context, folder string) []Finding {
	d := &doctor{y: y}
	d.setUp(ctx)
	d.begun()
	d.login(time.Now())
	d.servers(folder)
	d.hooks(folder)
	d.battery("/sys/class/power_supply")
	return d.sorted()
}

// own reads what Claude Code keeps for itself, beside its settings.
func (y *Yard) own() (file string, known struct {
	Onboarded bool                 `json:"hasCompletedOnboarding"`
	Servers   map[string]mcpServer `json:"mcpServers"`
	Projects  map[string]struct {
		Servers map[string]mcpServer `json:"mcpServers"`
	} `json:"projects"`
}) {
	file = filepath.Join(y.Home, ".claude.json")
	if y.getenv("CLAUDE_CONFIG_DIR") != "" {
		file = filepath.Join(y.configDir(), ".claude.json")
	}
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &known) // what is not there, or broken, says nothing
	}
	return file, known
}

// mcpServer is a server of tools that Claude Code starts or calls.
type mcpServer struct {
	URL     string   `json:"url"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

// fetchers are commands that may load what they run.
var fetchers = []string{"npx", "bunx", "pnpx", "uvx", "pipx", "docker", "podman", "deno"}

// outward says what a server wants of the network; empty: nothing that can be seen.
func (s mcpServer) outward() string {
	if u, err := url.Parse(s.URL); s.URL != "" && err == nil && !loopbackHost(u.Hostname()) {
		return "is at " + u.Hostname()
	}
	if name := strings.TrimSuffix(filepath.Base(s.Command), ".exe"); slices.Contains(fetchers, name) {
		return "is started by " + name + ", which may have to load it"
	}
	for _, arg := range s.Args {
		if u, err := url.Parse(arg); err == nil && u.Scheme != "" && strings.HasPrefix(u.Scheme, "http") && !loopbackHost(u.Hostname()) {
			return "talks to " + u.Hostname()
		}
	}
	return ""
}

func loopbackHost(name string) bool { return !elsewhere("http://" + name) }

// begun looks whether Claude Code's first start is over, which asks questions.
func (d *doctor) begun() {
	if file, known := d.y.own(); !known.Onboarded {
		d.add(Finding{Code: "claude_new", Severity: Bad, Text: "Claude Code was never started here (" + file + "): its first start asks questions", Remedy: "start it once and answer them", Command: "claude"})
	}
}

// login looks whether Claude Code's own login holds: with an expired one it looks up
// platform.claude.com at its start, in the offline route too (measured with 2.1.330).
func (d *doctor) login(now time.Time) {
	var c struct {
		OAuth struct {
			Expires int64 `json:"expiresAt"`
		} `json:"claudeAiOauth"`
	}
	data, err := os.ReadFile(filepath.Join(d.y.configDir(), ".credentials.json"))
	if err != nil || json.Unmarshal(data, &c) != nil || c.OAuth.Expires == 0 {
		return // there is none, or the system keeps it
	}
	at := time.UnixMilli(c.OAuth.Expires)
	if at.After(now.Add(flight)) {
		return
	}
	text := "Claude Code's login ends " + Since(at, now)
	if at.Before(now) {
		text = "Claude Code's login has expired"
	}
	d.add(Finding{Code: "login_expired", Severity: Poor, Text: text + ": Claude Code then looks up platform.claude.com at its start", Remedy: "renew it while there is a network: start claude in the cloud, /login"})
}

// servers lists the MCP servers that want the network.
func (d *doctor) servers(folder string) {
	file, known := d.y.own()
	tell := func(where string, servers map[string]mcpServer) {
		for name, s := range servers {
			if why := s.outward(); why != "" {
				d.add(Finding{Code: "mcp_outward", Severity: Poor, Text: "the MCP server " + name + " (" + where + ") " + why, Remedy: "expect it to fail, or end it for the flight: /mcp in claude"})
			}
		}
	}
	tell(file, known.Servers)
	tell(file, known.Projects[folder].Servers)
	var shared struct {
		Servers map[string]mcpServer `json:"mcpServers"`
	}
	project := filepath.Join(folder, ".mcp.json")
	if data, err := os.ReadFile(project); err == nil && json.Unmarshal(data, &shared) == nil {
		tell(project, shared.Servers)
	}
}

var networkCommand = regexp.MustCompile(`\b(curl|wget|ssh|nc|npx|uvx)\b|https?://`)

// hooks lists the settings files whose hooks want the network.
func (d *doctor) hooks(folder string) {
	for _, file := range d.y.Scope(folder).Sources() {
		var settings struct {
			Hooks map[string]any `json:"hooks"`
		}
		data, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(data, &settings) != nil {
			continue
		}
		for event, hooks := range settings.Hooks {
			if text := fmt.Sprint(hooks); networkCommand.MatchString(text) {
				d.add(Finding{Code: "hook_outward", Severity: Poor, Text: "the hook for " + event + " in " + file + " wants the network (" + networkCommand.FindString(text) + ")", Remedy: "expect it to fail, or take it out for the flight"})
			}
		}
	}
}

// battery looks at a laptop's charge, where Linux tells it.
func (d *doctor) battery(dir string) {
	batteries, _ := filepath.Glob(filepath.Join(dir, "BAT*"))
	for _, b := range batteries {
		text := func(name string) string {
			data, _ := os.ReadFile(filepath.Join(b, name))
			return strings.TrimSpace(string(data))
		}
		charge, err := strconv.Atoi(text("capacity"))
		if err == nil && charge < batteryLow && text("status") == "Discharging" {
			d.add(Finding{Code: "battery_low", Severity: Poor, Text: fmt.Sprintf("the battery is at %d %%: a local model takes much of it", charge), Remedy: "charge it"})
		}
	}
}
