package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localclaude"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// fetchers are commands that may download what they run.
var fetchers = []string{"npx", "bunx", "pnpx", "uvx", "pipx", "docker", "podman", "deno"}

// outward says why an MCP server needs the network; empty: as far as is known, it does not.
func outward(s localclaude.MCPServer) string {
	if u, err := url.Parse(s.URL); s.URL != "" && err == nil && !thisMachine(u.Hostname()) {
		return "is at " + u.Hostname()
	}
	if name := strings.TrimSuffix(filepath.Base(s.Command), ".exe"); slices.Contains(fetchers, name) {
		return "is started by " + name + ", which may have to download it"
	}
	for _, arg := range s.Args {
		if u, err := url.Parse(arg); err == nil && u.Scheme != "" && strings.HasPrefix(u.Scheme, "http") && !thisMachine(u.Hostname()) {
			return "talks to " + u.Hostname()
		}
	}
	return ""
}

// thisMachine reports whether a host is reachable without a network. Names that end in
// .localhost are loopback by RFC 6761.
func thisMachine(host string) bool {
	return engine.Loopback(host) || strings.HasSuffix(host, ".localhost")
}

// onboarding checks that Claude Code was started before: its first start asks questions.
func (d *doctor) onboarding() {
	if file, known := localclaude.ReadConfig(d.machine); !known.Onboarded {
		d.add(state.Finding{Code: "claude_new", Severity: state.SeverityError, Text: "Claude Code was never started here (" + file + "): its first start asks questions", Remedy: "start it once and answer them (claude), or mark the first start as done",
			Command: "set hasCompletedOnboarding in " + d.machine.Tilde(file), Cure: func(context.Context) error { return claude.Onboard(file) }})
	}
}

// login checks that Claude Code's login does not expire soon: with an expired one it looks up
// platform.claude.com when it starts, even on the offline route (measured with 2.1.330).
func (d *doctor) login(now time.Time) {
	var c struct {
		OAuth struct {
			Expires int64 `json:"expiresAt"`
		} `json:"claudeAiOauth"`
	}
	data, err := os.ReadFile(filepath.Join(d.machine.ConfigDir(), ".credentials.json"))
	if err != nil || json.Unmarshal(data, &c) != nil || c.OAuth.Expires == 0 {
		return // there is none, or the system's key store has it
	}
	at := time.UnixMilli(c.OAuth.Expires)
	if at.After(now.Add(flight)) {
		return
	}
	text := "Claude Code's login ends " + words.Since(at, now)
	if at.Before(now) {
		text = "Claude Code's login has expired"
	}
	d.add(state.Finding{Code: "login_expired", Severity: state.SeverityWarning, Text: text + ": Claude Code then looks up platform.claude.com when it starts", Remedy: "renew it while you are online: start claude in the cloud, /login"})
}

// servers finds MCP servers that need the network.
func (d *doctor) servers(folder string) {
	file, known := localclaude.ReadConfig(d.machine)
	tell := func(where string, servers map[string]localclaude.MCPServer) {
		for name, s := range servers {
			if why := outward(s); why != "" {
				d.add(state.Finding{Code: "mcp_outward", Severity: state.SeverityWarning, Text: "the MCP server " + name + " (" + where + ") " + why, Remedy: "expect it to fail offline, or turn it off for the flight: /mcp in claude"})
			}
		}
	}
	tell(file, known.Servers)
	tell(file, known.Projects[folder].Servers)
	var shared struct {
		Servers map[string]localclaude.MCPServer `json:"mcpServers"`
	}
	for _, file := range []string{filepath.Join(folder, ".mcp.json"), filepath.Join(d.machine.Scope("").ManagedDir, "managed-mcp.json")} {
		shared.Servers = nil
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &shared) == nil {
			tell(file, shared.Servers)
		}
	}
}

var networkCommand = regexp.MustCompile(`\b(curl|wget|ssh|nc|npx|uvx)\b|https?://`)

// helpers finds settings whose commands use the network: hooks, the status line, and helpers
// that fetch keys.
func (d *doctor) helpers(folder string) {
	for _, file := range d.machine.Scope(folder).Sources() {
		var settings map[string]any
		data, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(data, &settings) != nil {
			continue
		}
		tell := func(what string, setting any) {
			if text := fmt.Sprint(setting); networkCommand.MatchString(text) {
				d.add(state.Finding{Code: "hook_outward", Severity: state.SeverityWarning, Text: what + " in " + file + " uses the network (" + networkCommand.FindString(text) + ")", Remedy: "expect it to fail offline, or remove it for the flight"})
			}
		}
		if hooks, ok := settings["hooks"].(map[string]any); ok {
			for _, event := range slices.Sorted(maps.Keys(hooks)) {
				tell("the hook for "+event, hooks[event])
			}
		}
		for _, name := range []string{"statusLine", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper"} {
			if setting, there := settings[name]; there {
				tell(`"`+name+`"`, setting)
			}
		}
	}
}
