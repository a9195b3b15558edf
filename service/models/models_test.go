//go:build unix

package models

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
)

func TestResizedTags(t *testing.T) {
	for _, tt := range []struct {
		tag    string
		tokens int
		want   string
	}{
		{"docker.io/ai/qwen3-coder:latest", 65536, "docker.io/local/qwen3-coder:64k"},
		{"docker.io/ai/gpt-oss:20b", 131072, "docker.io/local/gpt-oss:20b-128k"},
		{"docker.io/local/qwen3-coder:64k", 131072, "docker.io/local/qwen3-coder:128k"},
		{"docker.io/local/gpt-oss:20b-64k", 32768, "docker.io/local/gpt-oss:20b-32k"},
		{"huggingface.co/unsloth/x-gguf:Q4_K_M", 65536, "docker.io/local/x-gguf:Q4_K_M-64k"},
		{"localhost:5000/ai/x:latest", 50000, "docker.io/local/x:50000"},
	} {
		if got := resized(tt.tag, tt.tokens); got != tt.want {
			t.Errorf("%s, %d: %s, want %s", tt.tag, tt.tokens, got, tt.want)
		}
	}
}

func TestWhatIsLearnedSurvivesABrokenFile(t *testing.T) {
	m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
	Learn(m, "sha256:a", func(l *Learned) { l.Used = time.Now() })
	if err := os.WriteFile(learnedFile(m), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	Learn(m, "sha256:b", func(l *Learned) { yes := true; l.Tools = &yes })
	if known := learned(m); len(known) != 1 || !*known["sha256:b"].Tools {
		t.Errorf("%+v", known)
	}
}

func TestAThousandModels(t *testing.T) {
	all := make([]runner.Model, 1000)
	for i := range all {
		all[i] = runner.Model{ID: fmt.Sprintf("sha256:%064d", i), Tags: []string{fmt.Sprintf("docker.io/ai/m%d:latest", i)}, Size: 1 << 30, Context: 65536}
	}
	m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
	NoteSeen(m, all)
	NoteSeen(m, all)
	if got := Describe(m, localrunner.Tagged(all), nil); len(got) != 1000 || len(learned(m)) != 1000 {
		t.Errorf("%d models, %d learned", len(got), len(learned(m)))
	}
}
