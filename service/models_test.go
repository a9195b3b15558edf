//go:build unix

package service

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

func TestAnotherContextIsReallyLoaded(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("the double shows its arguments")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {Context: 131072}})
	s := serve(t, m)
	s.local()
	tag, current, err := models.Resize(t.Context(), otherProcess(t, m), "tiny", 65536)
	if err != nil || !current || tag != "docker.io/local/tiny:64k" {
		t.Fatalf("%s %t %v", tag, current, err)
	}
	if err := s.Resize(t.Context(), "docker.io/ai/tiny:latest", 65536); err != nil { // as the menu does; the tag exists already
		t.Fatal(err)
	}
	state := s.until("the new model", func(s state.State) bool { return s.Model == tag && s.Context == 65536 && len(s.Models) == 2 })
	for _, model := range state.Models {
		want := map[string]int{"docker.io/ai/tiny:latest": 131072, tag: 65536}[model.Tag]
		if model.Context != want || model.Trained != 131072 {
			t.Errorf("%+v", model)
		}
	}
	if got := env(t, m)["CLAUDE_CODE_MAX_CONTEXT_TOKENS"]; got != "65536" {
		t.Errorf("Claude Code is told %s", got)
	}
	if args := engineArguments(t, "--ctx-size"); !strings.Contains(args, "65536") {
		t.Errorf("the engines were started with --ctx-size %s", args)
	}
	for _, tt := range []struct {
		tokens int
		want   string
	}{{262144, "supports at most 128K"}, {4096, "needs at least 32K"}} {
		if _, _, err := models.Resize(t.Context(), otherProcess(t, m), "tiny", tt.tokens); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d: %v", tt.tokens, err)
		}
	}
}

// engineArguments are the values of a flag of all engines of this test's runner.
func engineArguments(t *testing.T, flag string) string {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var values []string
	for _, file := range files {
		data, _ := os.ReadFile(file)
		args := strings.Split(string(data), "\x00")
		if !strings.HasSuffix(args[0], "llama-server") || !strings.Contains(string(data), filepath.Dir(t.TempDir())) {
			continue
		}
		for i, a := range args[:len(args)-1] {
			if a == flag {
				values = append(values, args[i+1])
			}
		}
	}
	return strings.Join(values, " ")
}

// A quantised cache leaves the rest of a model's configuration as it is.
func TestAQuantisedCache(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {Context: 131072}})
	const tag = "docker.io/ai/tiny:latest"
	address := m.Getenv("MODEL_RUNNER_HOST") + "/engines/_configure"
	resp, err := http.Post(address, "application/json", strings.NewReader(`{"model":"`+tag+`","context-size":65536,"keep_alive":"17m","runtime-flags":["--parallel","2","--cache-type-k=q4_0","-ctv","q4_0"]}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	configuration := func() string {
		t.Helper()
		resp, err := http.Get(address + "?model=" + tag)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return string(data)
	}
	for _, tt := range []struct{ kind, flags string }{
		{"q8_0", `"runtime-flags":["--parallel","2","--cache-type-k","q8_0","--cache-type-v","q8_0"]`},
		{"f16", `"runtime-flags":["--parallel","2"]`},
	} {
		if err := models.QuantiseCache(t.Context(), m, "tiny", tt.kind); err != nil {
			t.Fatal(err)
		}
		if got := configuration(); !strings.Contains(got, tt.flags) || !strings.Contains(got, `"context-size":65536`) || !strings.Contains(got, `"keep_alive":"17m`) {
			t.Errorf("%s: %s", tt.kind, got)
		}
	}
	if err := models.QuantiseCache(t.Context(), m, "tiny", "q8_0"); err != nil {
		t.Fatal(err)
	}
	half, err := models.Fit(t.Context(), m, "tiny", gpu.Setting{})
	whole, wholeErr := models.Fit(t.Context(), m, "tiny", gpu.Setting{KV: "f16"})
	if err != nil || wholeErr != nil || half.KV >= whole.KV*6/10 || half.Context != 65536 {
		t.Errorf("%+v, with f16 %+v, %v %v", half, whole, err, wholeErr)
	}
}

func TestLoadUnloadAndRemove(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {Size: 30 << 20}, "ai/other": {Size: 20 << 20, Context: 65536}})
	if _, err := models.Preload(t.Context(), m, "tiny"); err != nil {
		t.Fatal(err)
	}
	all, err := models.List(t.Context(), m)
	if err != nil || len(all) != 2 || all[0].Loaded || !all[1].Loaded || all[1].Tools != nil {
		t.Fatalf("%v %+v", err, all)
	}
	if n, err := models.Unload(t.Context(), m, ""); err != nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
	if n, err := models.Unload(t.Context(), m, "tiny"); err != nil || n != 0 {
		t.Errorf("what is not loaded: %d %v", n, err)
	}
	mustSwitch(t, m, switching.Request{Route: claude.Local, Model: "tiny"})
	all, err = models.List(t.Context(), m)
	if err != nil || all[1].Tools == nil || !*all[1].Tools || time.Since(all[1].Used) > time.Minute {
		t.Errorf("what the switch showed: %+v %v", all[1], err)
	}
	var refused *fault.Error
	if _, _, err := models.Remove(t.Context(), m, "tiny", false); !errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Why, "pointed to it") {
		t.Errorf("the one in use: %v", err)
	}
	if tag, freed, err := models.Remove(t.Context(), m, "other", false); err != nil || tag != "docker.io/ai/other:latest" || freed < 19<<20 {
		t.Errorf("%s %d %v", tag, freed, err)
	}
	if _, _, err := models.Remove(t.Context(), m, "other", false); !errors.As(err, &refused) || refused.Kind != fault.Refused {
		t.Errorf("again: %v", err)
	}
	if _, freed, err := models.Remove(t.Context(), m, "tiny", true); err != nil || freed < 29<<20 {
		t.Errorf("forced: %d %v", freed, err)
	}
}

func TestUnusedModels(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/tiny": {}, "ai/old": {Context: 65536}, "ai/new": {Context: 40960}})
	mustSwitch(t, m, switching.Request{Route: claude.Local, Model: "tiny"})
	names := func(age time.Duration) string {
		t.Helper()
		unused, err := models.Unused(t.Context(), m, age)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, model := range unused {
			out = append(out, runner.Short(model.Tag))
		}
		return strings.Join(out, " ")
	}
	const month = 30 * 24 * time.Hour
	if got := names(month); got != "" {
		t.Errorf("seen a moment ago, and %q", got)
	}
	all, err := models.List(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range all {
		if model.Tag == "docker.io/ai/old:latest" || model.Tag == "docker.io/ai/tiny:latest" {
			models.Learn(m, model.ID, func(l *models.Learned) { l.Seen, l.Used = time.Now().Add(-2*month), time.Now().Add(-2*month) })
		}
	}
	if got := names(month); got != "ai/old" {
		t.Errorf("%q", got)
	}
	if got := names(0); got != "ai/new ai/old" {
		t.Errorf("all that is unused: %q", got)
	}
}

// A model that does not fit beside the loaded one replaces it.
func TestTheLoadedModelMakesRoom(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("a real engine does not run out of memory on order")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/first": {}, "ai/second": {Behaviour: "alone"}})
	mustSwitch(t, m, switching.Request{Route: claude.Local, Model: "first"})
	mustSwitch(t, m, switching.Request{Route: claude.Local, Model: "second"})
	all, err := models.List(t.Context(), m)
	if err != nil || all[0].Loaded || !all[1].Loaded {
		t.Errorf("%v %+v", err, all)
	}
}
