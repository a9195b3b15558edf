package assets

import _ "embed"

// LeanAgent is the agent file of the lean profile, as Claude Code reads it: front
// matter with name and tools, then the prompt.
//
//go:embed prompts/lean.md
var LeanAgent []byte

// Config is a configuration file in which every key is a comment.
//
//go:embed config.toml
var Config []byte
