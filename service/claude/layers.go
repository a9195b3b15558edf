package claude

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Scope says which files and variables decide for a Claude Code started in a folder.
type Scope struct {
	ManagedDir string   // holds managed-settings.json and managed-settings.d; empty: none
	ConfigDir  string   // the user's configuration folder
	Project    string   // the folder Claude Code is started in; empty: no project
	Environ    []string // the shell's variables, NAME=value
	Launch     *Launch  // of a running session; nil: none in particular
	Files      *Files   // remembers what was read; may be nil
}

// Place is one layer's word on a variable.
type Place struct {
	Layer Layer  `json:"layer"`
	File  string `json:"file"` // empty for the shell
	Line  int    `json:"line"` // 1-based; 0 for the shell
	Value string `json:"value"`
}

// Setting is a variable, the place that decides it and the places that are overruled.
type Setting struct {
	Name string `json:"name"`
	Place
	Others []Place `json:"others"`
}

type source struct {
	layer  Layer
	file   string
	inline string // the settings themselves, where a command line has them
}

// Files remembers settings files by their size and time, so that many sessions can
// be looked at often. It is for one goroutine. The zero value is ready.
type Files struct {
	read map[string]fileRead
}

type fileRead struct {
	info fs.FileInfo // nil: there is no such file
	doc  *Document
	err  error
}

// load is as the function load.
func (f *Files) load(file string) (*Document, error) {
	info, err := os.Stat(file)
	if err != nil {
		info = nil
	}
	before, known := f.read[file]
	if known && (info == nil) == (before.info == nil) && (info == nil || os.SameFile(info, before.info) && info.Size() == before.info.Size() && info.ModTime().Equal(before.info.ModTime())) {
		return before.doc, before.err
	}
	if f.read == nil || len(f.read) > maxFiles {
		f.read = map[string]fileRead{}
	}
	now := fileRead{info: info}
	now.doc, now.err = load(file)
	f.read[file] = now
	return now.doc, now.err
}

// maxFiles bounds what is remembered.
const maxFiles = 2000

// load reads a layer; nil when there is none. The error is a *Refusal for one that Claude Code skips.
func (s Scope) load(src source) (*Document, error) {
	switch {
	case src.inline != "":
		return parseFile("--settings", []byte(src.inline))
	case s.Files != nil:
		return s.Files.load(src.file)
	}
	return load(src.file)
}

// sources lists the files, strongest first.
func (s Scope) sources() []source {
	var all []source
	if s.ManagedDir != "" {
		drops, _ := filepath.Glob(filepath.Join(s.ManagedDir, "managed-settings.d", "*.json"))
		slices.Sort(drops)
		for _, file := range slices.Backward(drops) { // a later file overrules an earlier one
			if !strings.HasPrefix(filepath.Base(file), ".") {
				all = append(all, source{layer: Managed, file: file})
			}
		}
		all = append(all, source{layer: Managed, file: filepath.Join(s.ManagedDir, "managed-settings.json")})
	}
	all = append(all, s.Launch.sources(s.Project)...)
	if s.Project != "" {
		dir := filepath.Join(s.Project, ".claude")
		all = append(all, source{layer: ProjectLocal, file: filepath.Join(dir, "settings.local.json")})
		if dir != s.ConfigDir { // in the home folder the project's file is the user's
			all = append(all, source{layer: Project, file: filepath.Join(dir, "settings.json")})
		}
	}
	all = append(all, source{layer: User, file: filepath.Join(s.ConfigDir, "settings.json")})
	return slices.DeleteFunc(all, func(src source) bool { return !s.Launch.reads(src.layer) })
}

// Sources are the settings files that decide, strongest first; some may not be there.
func (s Scope) Sources() (files []string) {
	for _, src := range s.sources() {
		if src.file != "" {
			files = append(files, src.file)
		}
	}
	return files
}

// Explain lists the variables that decide where Claude Code's requests go and
// how it treats the model, and the settings agent, apiKeyHelper and model,
// wherever one is set. skipped are the files that Claude Code ignores whole, and why.
func (s Scope) Explain() (settings []Setting, skipped []*Refusal) {
	found := map[string][]Place{}
	for _, src := range s.sources() {
		doc, err := s.load(src)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				refusal = &Refusal{File: src.file, Why: err.Error(), Remedy: "make the file readable"}
			}
			skipped = append(skipped, refusal)
			continue
		}
		if doc == nil {
			continue
		}
		for _, v := range doc.Variables() {
			if relevant(v.Name) {
				found[v.Name] = append(found[v.Name], Place{src.layer, src.file, v.Line, v.Value})
			}
		}
		for _, name := range []string{"agent", "apiKeyHelper", "model"} {
			if v, ok := doc.Text(name); ok {
				found[name] = append(found[name], Place{src.layer, src.file, v.Line, v.Value})
			}
		}
	}
	for _, pair := range s.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && relevant(name) {
			found[name] = append(found[name], Place{Layer: Shell, Value: value})
		}
	}
	for name, places := range found {
		settings = append(settings, Setting{Name: name, Place: places[0], Others: append([]Place{}, places[1:]...)})
	}
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return settings, skipped
}

// load reads a layer's file; nil when there is none. The error is a *Refusal for a file that Claude Code skips.
func load(file string) (*Document, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	return parseFile(file, data)
}

// relevant tells whether a variable has a say in where requests go, who pays
// for them, or how a local model is treated.
func relevant(name string) bool {
	if strings.HasPrefix(name, "ANTHROPIC_") || strings.HasPrefix(name, "CLAUDE_CODE_USE_") {
		return true
	}
	if _, owned := Values(Offline, Destination{Context: 1})[name]; owned {
		return true
	}
	return name == "CLAUDE_CONFIG_DIR" || name == "CLAUDE_CODE_SUBAGENT_MODEL" || slices.Contains(proxyKeys, strings.ToUpper(name)) || strings.ToUpper(name) == noProxyKey
}

// Stronger returns a refusal when a layer above the target's decides the route,
// so that a switch of the target would have no effect; nil when none does.
func (s Scope) Stronger(t Target) *Refusal {
	routing := routingKeys()
	for _, src := range s.sources() {
		if src.file == t.File {
			return nil
		}
		doc, err := s.load(src)
		if err != nil || doc == nil {
			continue // Claude Code skips such a file as well
		}
		for _, v := range doc.Variables() {
			if v.Value == "" || !slices.Contains(routing, v.Name) {
				continue
			}
			if slices.Contains(providerKeys, v.Name) && !truthy(v.Value) {
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
		switch {
		case slices.Contains(providerKeys, setting.Name) && truthy(setting.Value),
			slices.Contains(modelKeys, setting.Name) && !alias(setting.Value),
			slices.Contains(secretKeys, setting.Name) && setting.Value != "":
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
	var proxy Setting
	found := false
	for _, setting := range settings {
		switch upper := strings.ToUpper(setting.Name); {
		case upper == noProxyKey && coversLoopback(setting.Value):
			return Setting{}, false
		case slices.Contains(proxyKeys, upper) && setting.Value != "" && !found:
			proxy, found = setting, true
		}
	}
	return proxy, found
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

// Status is what a target's settings file says now.
type Status struct {
	Route      Route     // what the ledger and the file agree on
	BaseURL    string    // what the file sends requests to; empty: Anthropic
	Model      string    // the model of the local or offline route
	Context    int       // its context in tokens, as Claude Code is told
	Way        Way       // how requests get there
	Direct     string    // the runner's own address, when Way is Gateway
	Token      string    // what the file authenticates requests with
	Since      time.Time // when Route came into force; zero when that is not known
	Agent      string    // the agent file that new sessions take; empty: their own choice
	AgentSince time.Time
	Drift      []string  // owned keys that somebody changed after the switch
	Waiting    []Session // sessions that still see keys as "" after a return to cloud
	Pinned     *Place    // a "model" setting that names one model rather than an alias
	Broken     *Refusal  // the file cannot be read, so Claude Code skips it
}

// Inspect reads a target without changing or locking anything. The error is
// only about the ledger; what is wrong with the file is in Broken.
func (l *Ledger) Inspect(t Target) (Status, error) {
	status := Status{Route: Cloud}
	force, err := l.folder(t).read("entry.json")
	if err != nil {
		return status, err
	}
	doc, err := load(t.File)
	if err != nil {
		if !errors.As(err, &status.Broken) {
			status.Broken = &Refusal{File: t.File, Why: "it cannot be read", Remedy: "check its owner and mode"}
		}
		return status, nil
	}
	if doc == nil {
		doc, _ = Parse(nil)
	}
	if v, ok := doc.Variable(baseURLKey); ok {
		status.BaseURL = v.Value
	}
	if v, ok := doc.Variable(tokenKey); ok {
		status.Token = v.Value
	}
	if v, ok := doc.Text("model"); ok && !alias(v.Value) {
		status.Pinned = &Place{User, t.File, v.Line, v.Value}
	}
	if force == nil {
		status.Since = l.folder(t).lastEnd()
		return status, nil
	}
	if force.returning() {
		status.Since = force.Since
		status.Waiting = stillRunning(force.Waiting)
		return status, nil
	}
	if status.BaseURL == force.BaseURL {
		status.Route, status.Model, status.Context = force.Route, force.Model, force.Context
		status.Way, status.Direct, status.Since = force.Way, force.Direct, force.Since
		if force.Agent != nil {
			status.Agent, status.AgentSince = force.Agent.Name, force.Agent.At
		}
	}
	undone := true
	for _, k := range force.Keys {
		present := doc.value(k.Name)
		undone = undone && same(present, k.Old)
		switch {
		case same(present, k.New):
		case k.Name == baseURLKey: // what matters most comes first
			status.Drift = slices.Insert(status.Drift, 0, k.Name)
		default:
			status.Drift = append(status.Drift, spoken(k.Name))
		}
	}
	if undone {
		status.Drift = nil // put back by hand: nothing is left to say
	}
	return status, nil
}

// alias tells whether a model setting is one of Claude Code's names for a tier,
// which the switch maps to the local model.
func alias(model string) bool {
	model, _, _ = strings.Cut(strings.ToLower(model), "[")
	return slices.Contains([]string{"", "default", "opus", "sonnet", "haiku", "fable", "opusplan", "best"}, model)
}

// modified is when a file was written last; zero when it cannot be told.
func modified(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
