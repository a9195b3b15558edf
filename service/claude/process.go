package claude

import (
	"path/filepath"
	"slices"
	"strings"
)

// Process is what a Claude Code was started with, as far as the system tells.
type Process struct {
	Launch  *Launch  // nil: its arguments cannot be read
	Environ []string // NAME=value, of the variables that have a say; nil: it cannot be read
}

// inspect reads a process. What it does not need of the environment it does not keep.
func inspect(pid int) *Process {
	out := &Process{}
	if args := arguments(pid); len(args) > 0 {
		launch := ParseLaunch(args)
		out.Launch = &launch
	}
	if environ := environment(pid); len(environ) > 0 {
		out.Environ = []string{}
		for _, pair := range environ {
			if name, _, ok := strings.Cut(pair, "="); ok && relevant(name) {
				out.Environ = append(out.Environ, pair)
			}
		}
	}
	return out
}

// Launch is what a Claude Code's arguments say of its settings and its model.
type Launch struct {
	Settings []string // of --settings: files, or the JSON itself
	Sources  []string // of --setting-sources: user, project, local; nil: all of them
	Model    string   // of --model
	Agent    string   // of --agent

	Restricted bool   // --restricted: settings files but the administrator's, and those of Settings, are not read
	Leaves     string // the flag that runs the session in Anthropic's cloud; empty: none does
}

// ParseLaunch reads a command line as Claude Code does.
func ParseLaunch(args []string) Launch {
	var l Launch
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if args[i] == "--" {
			break
		}
		if name == "--restricted" {
			l.Restricted, l.Sources = true, []string{}
		}
		if slices.Contains(outletsOf(leaves, 0), name) {
			l.Leaves = name
		}
		if !slices.Contains([]string{"--settings", "--setting-sources", "--model", "--agent"}, name) {
			continue
		}
		if !joined {
			if i++; i == len(args) {
				break
			}
			value = args[i]
		}
		switch name {
		case "--settings":
			l.Settings = append(l.Settings, value)
		case "--setting-sources":
			if l.Restricted {
				break
			}
			l.Sources = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case "--model":
			l.Model = value
		case "--agent":
			l.Agent = value
		}
	}
	return l
}

// sources are the command line's layer, strongest first: of several --settings the
// last one counts.
func (l *Launch) sources(cwd string) (all []source) {
	if l == nil || len(l.Settings) == 0 {
		return nil
	}
	value := l.Settings[len(l.Settings)-1]
	if strings.HasPrefix(strings.TrimSpace(value), "{") {
		return []source{{layer: CommandLine, inline: value}}
	}
	if !filepath.IsAbs(value) && cwd != "" {
		value = filepath.Join(cwd, value)
	}
	return []source{{layer: CommandLine, file: value}}
}

// reads reports whether the launch leaves a layer in force.
func (l *Launch) reads(layer Layer) bool {
	if l == nil || l.Sources == nil {
		return true
	}
	name := map[Layer]string{User: "user", Project: "project", ProjectLocal: "local"}[layer]
	return name == "" || slices.Contains(l.Sources, name)
}
