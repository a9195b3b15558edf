package claude

import (
	"slices"
	"strings"
	"time"
)

// Effective is what the layers and the launch of a session say of its requests.
type Effective struct {
	Known    bool   // false: the system does not say how it was started, and nothing else decides
	BaseURL  string // where they go; empty: to Anthropic
	Place    Place  // what says so; zero when nothing does
	Provider string // the variable or flag that sends them past BaseURL; empty: none
	Ignores  string // the variable or flag that leaves the user's settings unread; empty: none
	Model    string // the name that they are asked with; empty: Claude Code's own choice
	ModelBy  string // --model, ANTHROPIC_MODEL or model, when that names one model and no tier; empty: none does
	Agent    string // the agent file that replaces the system prompt
	Silent   bool   // Claude Code itself makes no requests to the network
}

// Effective asks all layers.
func (s Scope) Effective() Effective {
	settings, _ := s.Explain()
	find := func(name string) (Setting, bool) {
		i := slices.IndexFunc(settings, func(one Setting) bool { return one.Name == name })
		if i < 0 {
			return Setting{}, false
		}
		return settings[i], true
	}
	value := func(name string) string {
		one, _ := find(name)
		return one.Value
	}
	w := Effective{Known: s.Launch != nil, Agent: value("agent")}
	if url, set := find(baseURLKey); set {
		w.BaseURL, w.Place = url.Value, url.Place
		if url.Layer == Shell {
			w.Known = w.Known && s.Environ != nil
		}
	} else {
		w.Known = w.Known && s.Environ != nil
	}
	for _, name := range outletsOf(vendor, 0) {
		if truthy(value(name)) {
			w.Provider = name
		}
	}
	if name := s.Past(); name != "" {
		w.Provider = name
	}
	w.Ignores = s.Ignores()
	w.Silent = value("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC") != "" && value("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL") != ""
	named, by := value("model"), "model"
	if v := value("ANTHROPIC_DEFAULT_MODEL"); v != "" && named == "" {
		named, by = v, "ANTHROPIC_DEFAULT_MODEL"
	}
	if v := value("ANTHROPIC_MODEL"); v != "" {
		named, by = v, "ANTHROPIC_MODEL"
	}
	if s.Launch != nil && s.Launch.Model != "" {
		named, by = s.Launch.Model, "--model"
	}
	if s.Launch != nil && s.Launch.Agent != "" {
		w.Agent = s.Launch.Agent
	}
	if !alias(named) {
		w.Model, w.ModelBy = named, by
		return w
	}
	asked := tier(named)
	if !slices.Contains([]string{"sonnet", "haiku", "fable"}, asked) {
		asked = "opus" // a switch gives all tiers the same model
	}
	w.Model = value("ANTHROPIC_DEFAULT_" + strings.ToUpper(asked) + "_MODEL")
	return w
}

// Decided is when a file that decides where requests go was written last; zero when
// none does. What was seen of a session before may no longer hold.
func (s Scope) Decided() time.Time {
	var at time.Time
	for _, src := range s.sources() {
		if src.file == "" {
			continue
		}
		doc, err := s.load(src)
		if err != nil || doc == nil {
			continue
		}
		if v, set := doc.variable(baseURLKey); set && v.Value != "" {
			if modified := modified(src.file); modified.After(at) {
				at = modified
			}
		}
	}
	return at
}
