package cli

import (
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/state"
)

func TestTheBarOfAPull(t *testing.T) {
	for _, tt := range []struct {
		pull state.Pull
		want string
	}{
		{state.Pull{Ref: "ai/x", State: state.Queued}, "ai/x  queued"},
		{state.Pull{Ref: "ai/x", State: state.Pulling}, "ai/x  …"},
		{state.Pull{Ref: "ai/x", State: state.Waiting, Why: "its registry cannot be reached", Remedy: "it resumes by itself"}, "ai/x  its registry cannot be reached; it resumes by itself"},
		{state.Pull{Ref: "ai/qwen3-coder", State: state.Pulling, Done: 7 << 30, Total: 17 << 30, Rate: 45 << 20, Left: 230}, "ai/qwen3-coder  ████░░░░░░░░  41 % of 17.0 GiB  45.0 MiB/s  4 min left"},
		{state.Pull{Ref: "registry.example.com:5000/team/model", State: state.Pulling, Done: 50, Total: 100}, "…e.com:5000/team/model  ██████░░░░░░  50 % of 100.0 B"},
	} {
		if got := pullBar(tt.pull); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestTheSparkline(t *testing.T) {
	long := make([]float64, 300)
	long[299] = 1
	for _, tt := range []struct {
		values []float64
		want   string
	}{{nil, ""}, {[]float64{0, 0.5, 1}, "▁▅█"}, {long, strings.Repeat("▁", 59) + "█"}} {
		if got := sparkline(tt.values); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestModelsThatCallNoTools(t *testing.T) {
	yes, no := true, false
	text := unfitText([]state.Model{{Tag: "docker.io/ai/good:latest", Tools: &yes}, {Tag: "docker.io/ai/new:latest"}})
	if text != "" {
		t.Errorf("%q", text)
	}
	text = unfitText([]state.Model{
		{Tag: "docker.io/ai/gemma:latest", Tools: &no, NoTools: true}, {Tag: "docker.io/ai/mute:latest", Tools: &no}, {Tag: "docker.io/ai/dumb:1b", Tools: &no},
	})
	if want := "! Claude Code can only talk with ai/gemma: no tools in the chat template\n" +
		"! Claude Code can only talk with ai/mute, ai/dumb:1b: asked for a tool call, only text came back\n" +
		"  → choose a model that calls tools, such as ai/qwen3-coder\n"; text != want {
		t.Errorf("%q", text)
	}
}
