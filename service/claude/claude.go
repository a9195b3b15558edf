// Package claude reads and edits Claude Code's configuration: which layer
// decides where requests go, and moving them to a local model and back without
// losing a byte of the user's settings.
package claude

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Route is where Claude Code's requests go.
type Route string

const (
	Cloud   Route = "cloud"
	Local   Route = "local"
	Offline Route = "offline" // local, and Claude Code itself makes no requests to the network
)

// Layer is one source of Claude Code settings. A stronger layer decides.
type Layer string

// The layers, strongest first. The command line layer (--settings) belongs to
// one session and is never on disk.
const (
	Managed      Layer = "managed"
	CommandLine  Layer = "cli"
	ProjectLocal Layer = "local"
	Project      Layer = "project"
	User         Layer = "user"
	Shell        Layer = "shell"
)

// Destination is what the local and offline routes point Claude Code to.
type Destination struct {
	BaseURL string // ends in /anthropic when it is a Model Runner
	Token   string // never empty: without one Claude Code sends its OAuth token to BaseURL
	Model   string // the model's full tag
	Context int    // tokens; 0 when unknown
	Way     Way
	Direct  string // the runner's own address for Claude Code, for when the gateway ends; empty: it has none
	Agent   *Agent // for the sessions that are started from now on; nil: their own choice
}

// Way is how requests get from Claude Code to the runner.
type Way string

const (
	Unsettled Way = ""        // directly, until there is a gateway
	Gateway   Way = "gateway" // through Switchyard's gateway, at BaseURL
	Direct    Way = "direct"  // directly, because a person wants it so
)

// Bounds of CLAUDE_CODE_AUTO_COMPACT_WINDOW: below the first Claude Code warns
// and takes it all the same; above the second it warns that disabling the 1M
// context is not enforced (both seen with 2.1.330). The smaller of the window
// and the context decides.
const (
	minCompactWindow = 100_000
	maxCompactWindow = 200_000
)

const (
	baseURLKey = "ANTHROPIC_BASE_URL"
	tokenKey   = "ANTHROPIC_AUTH_TOKEN"
)

// providerKeys send Claude Code to another vendor, whatever the base URL says.
var providerKeys = []string{
	"CLAUDE_CODE_USE_ANTHROPIC_AWS", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_FOUNDRY",
	"CLAUDE_CODE_USE_MANTLE", "CLAUDE_CODE_USE_VERTEX",
}

// modelKeys name the model of a session or of its side jobs, before any alias does.
var modelKeys = []string{"ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"}

// secretKeys are sent with every request, wherever it goes.
var secretKeys = []string{"ANTHROPIC_API_KEY", "ANTHROPIC_CUSTOM_HEADERS"}

// proxyKeys name proxies, noProxyKey what is reached without one; both are also written small.
var proxyKeys = []string{"ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"}

const (
	noProxyKey = "NO_PROXY"
	loopbacks  = "localhost,127.0.0.1,::1"
)

// Values returns the variables that a route needs in Claude Code's settings; none for Cloud.
//
// ANTHROPIC_MODEL is left out on purpose: it is not reloaded by a running
// session, the four alias variables are.
func Values(route Route, to Destination) map[string]string {
	if route == Cloud {
		return nil
	}
	values := map[string]string{
		baseURLKey:                           to.BaseURL,
		tokenKey:                             to.Token,
		"ANTHROPIC_DEFAULT_OPUS_MODEL":       to.Model,
		"ANTHROPIC_DEFAULT_SONNET_MODEL":     to.Model,
		"ANTHROPIC_DEFAULT_HAIKU_MODEL":      to.Model,
		"ANTHROPIC_DEFAULT_FABLE_MODEL":      to.Model,
		"CLAUDE_CODE_DISABLE_1M_CONTEXT":     "1",
		"CLAUDE_CODE_ATTRIBUTION_HEADER":     "0",
		"ENABLE_TOOL_SEARCH":                 "false",
		"CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
		"API_TIMEOUT_MS":                     "1500000",
		"API_FORCE_IDLE_TIMEOUT":             "0",
		"CLAUDE_CODE_AUTO_COMPACT_WINDOW":    fmt.Sprint(min(maxCompactWindow, max(minCompactWindow, to.Context))),
		"CLAUDE_CODE_MAX_OUTPUT_TOKENS":      "4096",
	}
	if to.Context > 0 {
		values["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = fmt.Sprint(to.Context)
		// Compaction starts at context − output − 13,000 tokens: an eighth leaves room to work.
		values["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = fmt.Sprint(min(32_000, max(1024, to.Context/8)))
	}
	if route == Offline {
		values["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
		values["CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL"] = "1"
		values["DISABLE_AUTOUPDATER"] = "1"
	}
	return values
}

// routingKeys are the variables that decide where requests go and with which
// model: when a stronger layer sets one, a switch below it has no effect.
func routingKeys() []string {
	keys := []string{"ANTHROPIC_MODEL"}
	for name := range maps.Keys(Values(Offline, Destination{Context: 1})) {
		if strings.HasPrefix(name, "ANTHROPIC_") {
			keys = append(keys, name)
		}
	}
	keys = append(keys, providerKeys...)
	slices.Sort(keys)
	return keys
}

// Refusal says why a target was left as it is.
type Refusal struct {
	File   string
	Line   int // 1-based; 0 when no line is to blame
	Column int
	Why    string
	Remedy string
}

func (r *Refusal) Error() string { return r.Where() + ": " + r.Why + "; " + r.Remedy }

// Where names the file, with line and column where there are any.
func (r *Refusal) Where() string {
	where := r.File
	if r.Line > 0 {
		where += fmt.Sprintf(":%d", r.Line)
		if r.Column > 0 {
			where += fmt.Sprintf(":%d", r.Column)
		}
	}
	return where
}
