// Package claude reads and edits Claude Code's configuration: which layer
// decides where requests go, and moving them to a local model and back without
// losing a byte of the user's settings.
package claude

import (
	"fmt"
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
	Name    string // of the model in Claude Code's /model; empty: its tag
	About   string // the line beside Name
	Slots   int    // requests that the model is given at a time; 0 when unknown
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

const (
	// noProxyKey names what is reached without a proxy. It and the proxies are also written small.
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
		"CLAUDE_CODE_TOTAL_TOKENS_REMINDER":  "off", // else a system message after results counts down
	}
	if to.Name != "" {
		for _, tier := range []string{"OPUS", "SONNET", "HAIKU", "FABLE"} {
			values["ANTHROPIC_DEFAULT_"+tier+"_MODEL_NAME"] = to.Name
			values["ANTHROPIC_DEFAULT_"+tier+"_MODEL_DESCRIPTION"] = to.About
		}
	}
	if to.Slots > 0 {
		// A workflow's agents wait for their turn. A subagent above the limit is refused, and
		// a pair is common: two of them share one slot in the gateway's queue.
		values["CLAUDE_CODE_WORKFLOW_MAX_CONCURRENT_AGENTS"] = fmt.Sprint(to.Slots)
		values["CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS"] = fmt.Sprint(max(2, to.Slots))
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

// Owned reports whether a switch may set a variable as one of the route's own.
func Owned(name string) bool {
	_, ours := Values(Offline, Destination{Context: 1, Name: "n", Slots: 1})[name]
	return ours
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
