package claude

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// agentKey is the setting that names the agent file of new sessions.
const agentKey = topLevel + "agent"

// Agent is an agent file that a switch installs in a configuration folder and
// makes the agent of sessions that start later. Its prompt takes the place
// of Claude Code's own, and its list of tools the place of all tools.
type Agent struct {
	Name    string    `json:"name"`
	Text    []byte    `json:"text"` // the whole file
	Path    string    `json:"path"` // where it stands; filled by the switch
	At      time.Time `json:"at"`   // since when sessions take it
	MadeDir bool      `json:"made_dir,omitempty"`
	Theirs  bool      `json:"theirs,omitempty"` // another file stands there: it is taken as it is, and stays
}

// in is the agent for a target. A project's is its own, so that going back in one
// place takes nothing from the other, and stands in the user's folder, so that
// nothing appears in the project.
func (a *Agent) in(t Target) *Agent {
	if a == nil {
		return nil
	}
	own := *a
	if t.Project != "" {
		own.Name += "-" + t.id()[:6]
		own.Text = []byte(strings.Replace(string(a.Text), "name: "+a.Name+"\n", "name: "+own.Name+"\n", 1))
	}
	own.Path = filepath.Join(t.ConfigDir, "agents", own.Name+".md")
	return &own
}

func (a *Agent) same(b *Agent) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Path == b.Path && string(a.Text) == string(b.Text) && a.Theirs == b.Theirs
}

func (a *Agent) temp() string {
	return filepath.Join(filepath.Dir(a.Path), "."+filepath.Base(a.Path)+".switchyard")
}

// agent decides about the agent file before anything is written. One that is left
// stays for as long as sessions are waited for.
func (f folder) agent(wanted *Agent, current *entry, waiting bool) (*Agent, error) {
	if wanted == nil {
		if waiting && current != nil {
			return current.Agent, nil
		}
		return nil, nil
	}
	there, err := readIfExists(wanted.Path)
	if err != nil {
		return nil, refuseFile(wanted.Path, err)
	}
	a := *wanted
	a.At = f.now()
	before := (*Agent)(nil)
	if current != nil && current.Agent != nil && current.Agent.Path == a.Path {
		before = current.Agent
		a.MadeDir, a.At = before.MadeDir, before.At
	}
	switch {
	case there == nil:
		a.MadeDir = a.MadeDir || missing(filepath.Dir(a.Path)) || f.madeBeside(a.Path)
	case string(there) == string(a.Text):
	case before == nil, before.Theirs, string(there) != string(before.Text) && string(there) != string(a.Text):
		a.Theirs = true
	}
	return &a, nil
}

// madeBeside reports whether the switch of another target made the folder of an agent file.
func (f folder) madeBeside(path string) bool {
	all, err := f.folders()
	if err != nil {
		return false
	}
	for _, other := range all {
		e, err := other.read("entry.json")
		if err == nil && e != nil && e.Agent != nil && e.Agent.MadeDir && filepath.Dir(e.Agent.Path) == filepath.Dir(path) {
			return true
		}
	}
	return false
}

// install puts the agent file where it belongs, unless another file is there.
func (f folder) install(a *Agent) error {
	if a == nil || a.Theirs {
		return nil
	}
	if there, err := readIfExists(a.Path); err != nil || there != nil && string(there) == string(a.Text) {
		return err
	}
	dir := filepath.Dir(a.Path)
	if missing(dir) {
		if err := f.disk.do("mkdir", dir, func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
			return err
		}
	}
	if err := f.disk.remove(a.temp()); err != nil {
		return err
	}
	if err := f.disk.write(a.temp(), a.Text, nil); err != nil {
		return err
	}
	if err := f.disk.publish(a.temp(), a.Path); err != nil {
		return err
	}
	return f.disk.syncDir(dir)
}

// retire removes the agent file of the current entry, unless the next one has it too.
func (f folder) retire(current, next *entry) error {
	if current == nil || current.Agent == nil || next.Agent != nil && next.Agent.Path == current.Agent.Path {
		return nil
	}
	return f.removeAgent(current.Agent)
}

// removeAgent removes what the switch installed; a file that was changed since stays.
func (f folder) removeAgent(a *Agent) error {
	if err := f.disk.remove(a.temp()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there, err := readIfExists(a.Path)
	if err != nil {
		return err
	}
	if there != nil && !a.Theirs && string(there) == string(a.Text) {
		if err := f.disk.remove(a.Path); err != nil {
			return err
		}
	}
	if a.MadeDir {
		_ = os.Remove(filepath.Dir(a.Path)) // stays when there is something in it
	}
	return nil
}

// leftBehind is an agent file of ours that was changed since, so that it stays although
// the next entry does not have it; empty: there is none.
func (e *entry) leftBehind(next *entry) string {
	if e == nil || e.Agent == nil || e.Agent.Theirs || next.Agent != nil || missing(e.Agent.Path) {
		return ""
	}
	return e.Agent.Path
}

// takeBack undoes what a transaction did to the agent file before it was killed.
func (f folder) takeBack(e, current *entry) error {
	if e.Agent == nil {
		return nil
	}
	if current == nil || current.Agent == nil || current.Agent.Path != e.Agent.Path {
		return f.removeAgent(e.Agent)
	}
	return f.install(current.Agent)
}

// spoken is an owned name as people know it: without the mark of topLevel.
func spoken(name string) string { return strings.TrimPrefix(name, topLevel) }
