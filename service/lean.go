package service

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// LeanAgent is the name of the lean profile's agent.
const LeanAgent = "switchyard-lean"

// Lean tells whether new local sessions shall have the lean profile.
func (y *Yard) Lean() bool {
	if y.Config.Lean != nil {
		return *y.Config.Lean
	}
	_, err := os.Stat(y.Paths.lean())
	return err == nil
}

// SetLean remembers whether they shall. The configuration overrules it.
func (y *Yard) SetLean(on bool) error {
	if y.Config.Lean != nil && *y.Config.Lean != on {
		return &Error{Kind: Refused, What: "the lean profile", Why: "the configuration says whether new sessions have it", Remedy: `change "lean" in ` + y.Paths.Config}
	}
	return y.mark(y.Paths.lean(), on)
}

// mark makes an empty file that remembers something, or removes it.
func (y *Yard) mark(file string, on bool) error {
	if !on {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(y.Paths.State, 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o600)
}

// agentFor is the agent file that a switch installs; nil without the lean profile.
func (y *Yard) agentFor(r Request) (*claude.Agent, error) {
	lean := y.Lean()
	if r.Lean != nil {
		lean = *r.Lean
	}
	if !lean {
		return nil, nil
	}
	return y.leanAgent()
}

// SetLean remembers whether new local sessions shall have the lean profile, and
// lets the settings follow where Claude Code is local. Running sessions keep what
// they began with.
func (s *Supervisor) SetLean(ctx context.Context, on bool) error {
	err := s.yard.SetLean(on)
	if err != nil {
		s.failed(ctx, words.Key("Could not change the lean profile"), err)
		return err
	}
	defer wake.Notify(s.lookFiles)
	now := s.State()
	if now.Route == claude.Cloud {
		return nil
	}
	direct := len(now.Targets) > 0 && now.Targets[0].Way == claude.Direct
	return s.Switch(ctx, Request{Route: now.Route, Model: now.Model, Context: now.Context, Direct: direct, Force: true}) // what works is not changed
}

// leanAgent is the agent file: the user's own version of it, or ours.
func (y *Yard) leanAgent() (*claude.Agent, error) {
	own := filepath.Join(filepath.Dir(y.Paths.Config), "prompts", "lean.md")
	text, err := os.ReadFile(own)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &claude.Agent{Name: LeanAgent, Text: assets.LeanAgent}, nil
	case err != nil:
		return nil, &Error{Kind: Refused, Why: err.Error(), Remedy: "make the file readable, or remove it", Err: err}
	}
	agent := &claude.Agent{Name: LeanAgent, Text: text}
	if front, _ := splitAgent(text); front["name"] != LeanAgent {
		return nil, &Error{Kind: Refused, Why: own + ": it does not begin with front matter that has the line name: " + LeanAgent,
			Remedy: "correct it, or remove it to have Switchyard's own"}
	}
	return agent, nil
}

// splitAgent takes an agent file apart: the front matter's lines, and the prompt.
func splitAgent(text []byte) (front map[string]string, prompt string) {
	front = map[string]string{}
	lines := strings.Split(string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), "\n")
	if lines[0] != "---" {
		return front, string(text)
	}
	for i, line := range lines[1:] {
		if line == "---" {
			return front, strings.Join(lines[i+2:], "\n")
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			front[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return front, ""
}

// inline is the agent for a command line (claude --agents), where nothing is installed.
func inline(a *claude.Agent) map[string]any {
	front, prompt := splitAgent(a.Text)
	tools := strings.FieldsFunc(front["tools"], func(r rune) bool { return r == ',' || r == ' ' })
	definition := map[string]any{"description": front["description"], "prompt": prompt}
	if len(tools) > 0 {
		definition["tools"] = slices.Clone(tools)
	}
	return map[string]any{a.Name: definition}
}
