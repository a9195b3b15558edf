package claude

import (
	"slices"
	"strings"
)

// outlet is something of Claude Code's that decides where requests go or which model they
// ask for. Its name says what kind it is: a variable, a launch flag with its dashes, or a
// setting beside env with topLevel before it.
type outlet struct {
	name   string
	effect effect
	answer answer
	source string
}

// effect is what an outlet does.
type effect int

const (
	address  effect = iota // names the address, or what authenticates there
	vendor                 // sends requests to another vendor, whatever the address says; a switch: 1, true …
	past                   // takes the process past all settings; of the process's environment alone
	ignores                // leaves settings files unread
	leaves                 // runs the session in Anthropic's cloud
	tiered                 // names the model of one of Claude Code's tiers
	model                  // names a model before any tier does
	limits                 // allows some models only, or gives them other names
	secret                 // is sent with every request, wherever it goes
	login                  // authenticates where the address's own token does not
	moves                  // says where settings files are
	proxy                  // gets requests before the address does
	harmless               // looks like one of these, and decides nothing
)

// answer is what Switchyard does about an outlet.
type answer int

const (
	owned   answer = 1 << iota // a switch sets it, and restores it
	blanked                    // a switch sets it to "" where its target or a weaker layer sets it, and restores it
	refused                    // no switch while a stronger layer sets it
	removed                    // switchyard run takes it from its session's environment
	told                       // explain lists it; sessions, doctor and the warnings after a switch name it
	read                       // explain, sessions and switches take it into account
)

// Where a row is from. Tried: a Claude Code with its own home and a clean environment, its
// settings leading to one logging server on loopback, the outlet to another one.
const (
	tried     = "tried 2026-11-28 with 2.1.332"
	triedBoth = "tried 2026-11-28 with 2.1.197 and 2.1.332"
	triedOld  = "tried with 2.1.330"
	untried   = "read in 2.1.332, not tried"
)

// outlets are all that are known. internal/lab/e2e compares them with the newest Claude Code.
var outlets = []outlet{
	{"ANTHROPIC_BASE_URL", address, owned | refused | told, triedBoth},
	{"ANTHROPIC_AUTH_TOKEN", address, owned | refused | told, triedBoth},

	{"CLAUDE_CODE_USE_ANTHROPIC_AWS", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_BEDROCK", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_FOUNDRY", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_MANTLE", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_VERTEX", vendor, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"CLAUDE_CODE_USE_GATEWAY", address, blanked, tried + ": ANTHROPIC_BASE_URL is asked all the same, but a model's own context is not believed"},

	{"ANTHROPIC_UNIX_SOCKET", past, removed | told, triedBoth + `: address and token of the settings are not used, "" there cures nothing; in settings it is ignored`},
	{"CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST", past, removed | told, triedBoth + `: set by Claude Desktop; the shell's address beats the settings', "" there cures nothing; in settings it is ignored`},
	{"CLAUDE_CODE_HOST_AUTH_ENV_VAR", past, removed | told, triedBoth + ": like CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"},

	{"CLAUDE_CODE_RESTRICTED", ignores, told, tried + `: like --restricted; in settings it is ignored; 2.1.197 does not know it`},
	{"--restricted", ignores, told, tried + ": user, project and local settings are not read, --settings are; 2.1.197 does not know it"},
	{"--setting-sources", ignores, told, tried},
	{"--settings", address, told, triedOld},
	{"--bare", harmless, read, triedBoth + ": the user's env is read"},
	{"--safe-mode", harmless, read, triedBoth + ": the user's env is read"},
	{"--managed-settings", harmless, read, tried + ": neither a file nor JSON moved requests"},

	{"--cloud", leaves, refused | told, tried + ": asks for a claude.ai login; run refuses it"},
	{"--remote", leaves, refused | told, tried + ": the same as --cloud"},
	{"--environment", leaves, refused | told, tried + ": asks for a claude.ai login"},
	{"--teleport", leaves, refused | told, tried + ": asks for a claude.ai login"},
	{"--desktop", leaves, refused | told, tried + ": opens the session in Claude Desktop"},
	{"--sdk-url", leaves, refused | told, tried + ": takes Anthropic's addresses only, which then send the prompts"},
	{"--remote-control", leaves, refused | told, untried + " with a login; with claude -p it does nothing"},
	{"--rc", leaves, refused | told, untried},

	{"ANTHROPIC_DEFAULT_FABLE_MODEL", tiered, owned | refused | told, triedBoth},
	{"ANTHROPIC_DEFAULT_HAIKU_MODEL", tiered, owned | refused | told, triedBoth},
	{"ANTHROPIC_DEFAULT_OPUS_MODEL", tiered, owned | refused | told, triedBoth},
	{"ANTHROPIC_DEFAULT_SONNET_MODEL", tiered, owned | refused | told, triedBoth},

	{"ANTHROPIC_MODEL", model, blanked | refused | told, tried + `: "" in settings cures it, also against the shell`},
	{"ANTHROPIC_DEFAULT_MODEL", model, blanked | refused | told, tried + `: the model of new sessions, if "model" names none; "" in settings cures it, also against the shell`},
	{"ANTHROPIC_SMALL_FAST_MODEL", model, blanked, triedOld},
	{"CLAUDE_CODE_SUBAGENT_MODEL", model, blanked, triedOld},
	{"CLAUDE_CODE_WORKFLOW_SUBAGENT_MODEL", model, blanked, untried},
	{"CLAUDE_CODE_AUTO_MODE_MODEL", model, blanked, untried},
	{"CLAUDE_CODE_BG_CLASSIFIER_MODEL", model, blanked, untried},
	{"--model", model, told, triedBoth},
	{"--fallback-model", model, read, tried + ": asked only when the main model fails; through the gateway the cloud's names mean the chosen model"},
	{topLevel + "model", model, told, triedBoth},
	{topLevel + "fallbackModel", model, told, untried},

	{topLevel + "availableModels", limits, told, tried + ": alone it changes nothing for tiers"},
	{topLevel + "enforceAvailableModels", limits, told, tried + ": with availableModels, a tier's own name is asked for, not the model that it leads to: right through the gateway only"},
	{topLevel + "modelOverrides", limits, told, triedBoth + `: {"claude-opus-5-5": TAG} silences "[claude-code:unrecognized_model]", but then the model's own context is not believed (100K for 32K)`},

	{"ANTHROPIC_API_KEY", secret, blanked | told, triedBoth},
	{"ANTHROPIC_CUSTOM_HEADERS", secret, blanked | told, triedOld},
	{topLevel + "apiKeyHelper", secret, told, tried + ": its key goes along, as x-api-key; the gateway drops it"},

	{"ANTHROPIC_PROFILE", login, read, tried + ": the token in the settings decides"},
	{"ANTHROPIC_CONFIG_DIR", login, read, tried + ": the token in the settings decides"},
	{"ANTHROPIC_IDENTITY_TOKEN", login, read, tried + ": the token in the settings decides"},
	{"ANTHROPIC_IDENTITY_TOKEN_FILE", login, read, untried},
	{"CLAUDE_CODE_OAUTH_TOKEN", login, read, tried + ": the token in the settings decides"},
	{"CLAUDE_CODE_GATEWAY_TOKEN", login, read, tried + ": the token in the settings decides"},
	{"CLAUDE_CODE_HOST_CREDS_FILE", login, read, tried + ": the address and the token in the settings decide"},

	{"CLAUDE_CONFIG_DIR", moves, read | told, triedBoth},
	{"CLAUDE_CODE_MANAGED_SETTINGS_PATH", moves, told, triedBoth + ": neither a folder nor a file that it named was read"},

	{"ALL_PROXY", proxy, told, triedOld + ": gets requests to 127.0.0.1, unless NO_PROXY names that"},
	{"HTTPS_PROXY", proxy, told, triedOld + ": gets requests to 127.0.0.1, unless NO_PROXY names that"},
	{"HTTP_PROXY", proxy, told, tried + ": gets requests to 127.0.0.1, unless NO_PROXY names that"},
	{noProxyKey, proxy, owned | told, triedOld},

	{topLevel + "agent", harmless, owned | told, triedBoth + ": replaces the system prompt"},
	{"--agent", harmless, told, triedBoth + ": replaces the system prompt"},
}

// outletsOf are the names with an effect and, if one is given, an answer.
func outletsOf(what effect, how answer) (names []string) {
	for _, o := range outlets {
		if o.effect == what && (how == 0 || o.answer&how != 0) {
			names = append(names, o.name)
		}
	}
	return names
}

// acts reports whether a value makes an outlet do what it does.
func (o outlet) acts(value string) bool {
	switch o.effect {
	case vendor, ignores:
		return truthy(value)
	case model:
		return !alias(value)
	}
	return value != "" && !falsy(value)
}

func outletNamed(name string) (outlet, bool) {
	i := slices.IndexFunc(outlets, func(o outlet) bool { return o.name == name })
	if i < 0 {
		return outlet{}, false
	}
	return outlets[i], true
}

// Decides reports whether a variable, a launch flag (with its dashes) or a setting is known
// as one that may decide where requests go or which model they ask for.
func Decides(name string) bool {
	if _, known := outletNamed(name); known {
		return true
	}
	_, setting := outletNamed(topLevel + name)
	return setting
}

// note says what a setting's value does to requests; empty: nothing to speak of.
func note(name, value string) string {
	o, known := outletNamed(name)
	if !known {
		o, known = outletNamed(topLevel + name)
	}
	if !known || !o.acts(value) {
		return ""
	}
	text := map[effect]string{
		vendor:  "sends requests to another vendor",
		past:    "makes Claude Code bypass its settings; switchyard run removes it",
		ignores: "makes Claude Code ignore its settings, except --settings and the administrator's",
		limits:  "limits or renames models, so the local one may not be asked for by its name",
	}[o.effect]
	if text != "" && o.answer&blanked != 0 {
		text += "; a switch to local empties it"
	}
	return text
}

// Past names what takes a session past the settings that a switch writes, or past this
// machine: a variable of its environment, or a flag of its launch; empty if nothing does.
func (s Scope) Past() string {
	if s.Launch != nil && s.Launch.Leaves != "" {
		return s.Launch.Leaves
	}
	for _, name := range outletsOf(past, 0) {
		if o, _ := outletNamed(name); o.acts(s.getenv(name)) {
			return name
		}
	}
	return ""
}

// Ignores names what makes a session leave the user's settings unread; empty if nothing does.
func (s Scope) Ignores() string {
	switch {
	case s.Launch != nil && s.Launch.Restricted:
		return "--restricted"
	case truthy(s.getenv("CLAUDE_CODE_RESTRICTED")):
		return "CLAUDE_CODE_RESTRICTED"
	case !s.Launch.reads(User):
		return "--setting-sources"
	}
	return ""
}

// Limited is where settings allow some models only, so that tiers are not led to the local
// model: its own name of a tier is asked for instead.
func (s Scope) Limited() (where string, limited bool) {
	settings, _ := s.Explain()
	for _, one := range settings {
		if one.Name == "enforceAvailableModels" && one.Value == "true" {
			return (&Refusal{File: one.File, Line: one.Line}).Where(), true
		}
	}
	return "", false
}

// getenv is a variable of the shell; the last of several counts.
func (s Scope) getenv(name string) (value string) {
	for _, pair := range s.Environ {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// WithoutPast is an environment without the variables that make a session bypass its settings, as far
// as they can be removed.
func WithoutPast(environ []string) []string {
	names := outletsOf(past, removed)
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(names, name)
	})
}
