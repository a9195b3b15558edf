// Package lean is the lean profile: an agent with a short prompt and few tools, for small
// local models.
package lean

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Agent is the profile's agent file: prompts/lean.md beside config.toml, or the built-in
// one.
func Agent(m *machine.Machine) (*claude.Agent, error) {
	own := filepath.Join(filepath.Dir(m.Paths.Config), "prompts", "lean.md")
	text, err := os.ReadFile(own)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &claude.Agent{Name: machine.LeanAgent, Text: assets.LeanAgent}, nil
	case err != nil:
		return nil, &fault.Error{Kind: fault.Refused, Why: err.Error(), Remedy: "make the file readable, or remove it", Err: err}
	}
	agent := &claude.Agent{Name: machine.LeanAgent, Text: text}
	if front, _ := splitAgent(text); front["name"] != machine.LeanAgent {
		return nil, &fault.Error{Kind: fault.Refused, Why: own + ": it does not begin with front matter that has the line name: " + machine.LeanAgent,
			Remedy: "correct it, or remove it to use Switchyard's own"}
	}
	return agent, nil
}

// splitAgent splits an agent file into its front matter and its prompt.
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

// Inline is the agent as claude --agents takes it, for a session without an installed agent
// file.
func Inline(a *claude.Agent) map[string]any {
	front, prompt := splitAgent(a.Text)
	tools := strings.FieldsFunc(front["tools"], func(r rune) bool { return r == ',' || r == ' ' })
	definition := map[string]any{"description": front["description"], "prompt": prompt}
	if len(tools) > 0 {
		definition["tools"] = slices.Clone(tools)
	}
	return map[string]any{a.Name: definition}
}
