package claude

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	Note   string  `json:"note,omitempty"` // what its value does to requests, and what a switch does about it
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
	doc  *document
	err  error
}

// load is the function load, but reads a file again only when it has changed.
func (f *Files) load(file string) (*document, error) {
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
func (s Scope) load(src source) (*document, error) {
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
	restricted := s.Ignores() == "CLAUDE_CODE_RESTRICTED"
	return slices.DeleteFunc(all, func(src source) bool {
		return !s.Launch.reads(src.layer) || restricted && src.layer != Managed && src.layer != CommandLine
	})
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
// how it treats the model, and the settings beside env that have a say in that,
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
		for _, v := range doc.variables() {
			if relevant(v.Name) && !shellOnly(v.Name) {
				found[v.Name] = append(found[v.Name], Place{src.layer, src.file, v.Line, v.Value})
			}
		}
		for _, o := range outlets {
			if name, setting := strings.CutPrefix(o.name, topLevel); setting {
				if v, ok := doc.setting(name); ok {
					found[name] = append(found[name], Place{src.layer, src.file, v.Line, v.Value})
				}
			}
		}
	}
	for _, pair := range s.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && relevant(name) {
			found[name] = append(found[name], Place{Layer: Shell, Value: value})
		}
	}
	for name, places := range found {
		settings = append(settings, Setting{Name: name, Place: places[0], Note: note(name, places[0].Value), Others: append([]Place{}, places[1:]...)})
	}
	slices.SortFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return settings, skipped
}

// load reads a layer's file; nil when there is none. The error is a *Refusal for a file that Claude Code skips.
func load(file string) (*document, error) {
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

// relevant reports whether a variable has a say in where requests go, who pays
// for them, or how a local model is treated.
func relevant(name string) bool {
	if strings.HasPrefix(name, "ANTHROPIC_") || strings.HasPrefix(name, "CLAUDE_CODE_USE_") {
		return true
	}
	if _, known := outletNamed(name); known || Owned(name) {
		return true
	}
	o, known := outletNamed(strings.ToUpper(name))
	return known && o.effect == proxy
}

// shellOnly reports whether Claude Code takes a variable from its environment alone, not from settings.
func shellOnly(name string) bool {
	o, known := outletNamed(name)
	return known && (o.effect == past || o.effect == ignores)
}
