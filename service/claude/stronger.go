package claude

import (
	"slices"
	"strings"
)

// Stronger returns a refusal when a layer above the target's decides the route,
// so that a switch of the target would have no effect; nil when none does.
func (s Scope) Stronger(t Target) *Refusal {
	for _, src := range s.sources() {
		if src.file == t.File {
			return nil
		}
		doc, err := s.load(src)
		if err != nil || doc == nil {
			continue // Claude Code skips such a file as well
		}
		for _, v := range doc.variables() {
			o, known := outletNamed(v.Name)
			if !known || o.answer&refused == 0 || v.Value == "" || o.effect == vendor && !truthy(v.Value) {
				continue
			}
			return &Refusal{File: src.file, Line: v.Line, Why: "the " + string(src.layer) + " settings set " + v.Name + ", which overrules " + t.File, Remedy: strongerRemedy(src, t)}
		}
	}
	return nil
}

func strongerRemedy(src source, t Target) string {
	switch src.layer {
	case Managed:
		return "ask whoever manages this machine to remove it"
	case ProjectLocal:
		return "remove the line, or switch this project alone with --project"
	case Project:
		if t.Project == "" {
			return "switch this project alone with --project, or run the command from another folder"
		}
	}
	return "remove the line"
}

// Neutral are the variables that must be emptied for a local route because the
// target or a weaker layer sets them: those that send requests to another
// vendor, that name one model of the cloud's, and the secrets that would
// otherwise go to the runner with every request. Where a proxy would get the
// requests to this machine's own address, NO_PROXY is completed.
func (s Scope) Neutral() map[string]string {
	values := s.pastProxies()
	settings, _ := s.Explain()
	for _, setting := range settings {
		o, known := outletNamed(setting.Name)
		if known && o.answer&blanked != 0 && o.acts(setting.Value) {
			values[setting.Name] = ""
		}
	}
	return values
}

// Proxied is the proxy that gets Claude Code's requests to 127.0.0.1 too, and
// false when none does.
//
// Measured with 2.1.330: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in either case, do
// so for http://127.0.0.1, unless NO_PROXY names that address; localhost there is
// not enough. NO_PROXY in the settings counts.
func (s Scope) Proxied() (Setting, bool) {
	settings, _ := s.Explain()
	var by Setting
	found := false
	for _, setting := range settings {
		switch upper := strings.ToUpper(setting.Name); {
		case upper == noProxyKey && coversLoopback(setting.Value):
			return Setting{}, false
		case slices.Contains(outletsOf(proxy, 0), upper) && upper != noProxyKey && setting.Value != "" && !found:
			by, found = setting, true
		}
	}
	return by, found
}

func coversLoopback(list string) bool {
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if entry == "*" || entry == "127.0.0.1" || entry == "127.0.0.0/8" {
			return true
		}
	}
	return false
}

// pastProxies are the variables that keep requests to this machine from its proxy.
func (s Scope) pastProxies() map[string]string {
	values := map[string]string{}
	if _, proxied := s.Proxied(); !proxied {
		return values
	}
	settings, _ := s.Explain()
	for _, setting := range settings {
		if strings.ToUpper(setting.Name) == noProxyKey {
			values[setting.Name] = strings.Trim(setting.Value+","+loopbacks, ",")
		}
	}
	if len(values) == 0 {
		values[noProxyKey] = loopbacks
	}
	return values
}

// truthy reads a switch as Claude Code does.
func truthy(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

// falsy reads a switch that is turned off, as Claude Code does.
func falsy(value string) bool {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "0", "false", "no", "off":
		return true
	}
	return false
}
