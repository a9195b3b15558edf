package claude

import (
	"regexp"
	"slices"
	"strings"
)

// tiers are the names for Tier.
var tiers = []string{"default", "opus", "sonnet", "haiku", "fable", "opusplan", "best"}

// cloudName is a name of Anthropic's, in small letters, as it and other hosts write it:
//
//	claude-opus-5-5, claude-opus-5@20250101, claude-3-5-sonnet-v2@20241022   Anthropic, Vertex
//	anthropic.claude-opus-5-v1:0, us.anthropic.claude-…, global.…, arn:aws…/…  Bedrock
//	anthropic/claude-opus-5.5, openrouter/anthropic/claude-…, bedrock/…        gateways
//
// A namespace that is no such host's is a person's, whose models may be called after Claude.
var cloudName = regexp.MustCompile(`^(?:` +
	`(?:anthropic|aws|azure|azure_ai|bedrock|databricks|foundry|gcp|google|litellm|openrouter|vertex|vertex_ai)/(?:[^/ ]+/)*` +
	`|arn:aws[^ ]*/|projects/[^ ]*/models/)?` +
	`(?:[a-z-]{2,8}\.)?(?:anthropic(?:\.|--))?(?:databricks-)?claude-[a-z0-9.:@_/-]+$`)

// CloudName reports whether a model name is one of Anthropic's, not a local model, however
// its host writes it. A runner may all the same have a model that is called so: ask it first,
// unless the name is a tier's (Tier).
func CloudName(name string) bool { return Tier(name) || cloudName.MatchString(tier(name)) }

// Tier reports whether a name is one of Claude Code's that leave open which model is meant.
func Tier(name string) bool { return slices.Contains(tiers, tier(name)) }

// tier is a name without the mark of a long context: opus[1m].
func tier(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(name), "[")
	return name
}

// alias reports whether a model setting is one of Claude Code's names for a tier,
// which the switch maps to the local model.
func alias(model string) bool {
	return model == "" || Tier(model)
}
