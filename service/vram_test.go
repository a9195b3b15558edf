//go:build unix

package service

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
)

// devices gives a machine a double of a GPU. setFree sets its memory.
func devices(t *testing.T, m *machine.Machine) (setFree func(freeMiB, totalMiB int64)) {
	t.Helper()
	file := filepath.Join(m.Home, "devices.json")
	m.Program = filepath.Join(m.Home, "probe")
	if err := os.WriteFile(m.Program, []byte("#!/bin/sh\ncat "+file+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func(free, total int64) {
		t.Helper()
		data, err := json.Marshal([]gpu.Device{{Name: "double", Total: total << 20, Free: free << 20}})
		if err == nil {
			err = os.WriteFile(file, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAModelThatMayNotFit(t *testing.T) {
	if os.Getenv("LAB_LLAMA_SERVER") != "" {
		t.Skip("a real engine does not fail on order")
	}
	m := scratchMachine(t, map[string]gguf.Model{"ai/first": {Size: 300 << 20, Context: 65536}, "ai/oom": {Size: 301 << 20, Context: 131072, Behaviour: "oom"}})
	setFree := devices(t, m)
	load := func(model string) (warned []state.Warning, err error) {
		_, err = switching.Switch(t.Context(), m, switching.Request{Route: claude.Local, Model: model}, localrunner.Progress{Warn: func(w state.Warning) { warned = append(warned, w) }})
		return warned, err
	}
	setFree(20<<10, 24<<10)
	if warned, err := load("first"); err != nil || len(warned) > 0 {
		t.Errorf("with room: %v %v", warned, err)
	}
	if _, err := models.Unload(t.Context(), m, ""); err != nil {
		t.Fatal(err)
	}
	setFree(600, 24<<10)
	warned, err := load("first")
	if err != nil || len(warned) != 1 || warned[0].Code != "model_too_big" || !strings.HasPrefix(warned[0].Text, "ai/first does not fit the GPU: it needs about 884.7 MiB (context 64K); 600.0 MiB is available") {
		t.Errorf("it warns, and loads all the same: %+v %v", warned, err)
	}
	// Memory counts as available if unloading the loaded model frees it.
	setFree(1200, 24<<10)
	warned, err = load("oom")
	var failed *fault.Error
	if !errors.As(err, &failed) || !strings.Contains(failed.Why, "is available)") || !strings.Contains(failed.Remedy, "switchyard context ai/oom ") && !strings.Contains(failed.Remedy, "choose a smaller model") {
		t.Errorf("%+v %v", warned, err)
	}
	fit, err := models.Fit(t.Context(), m, "first", gpu.Setting{Context: 40960})
	if err != nil || fit.Free != 1200<<20 || fit.Verdict != gpu.Tight || fit.Bound != gpu.Estimate {
		t.Errorf("%+v %v", fit, err)
	}
}

func TestTheMemoryOfALoadIsLearned(t *testing.T) {
	m := scratchMachine(t, map[string]gguf.Model{"ai/first": {Size: 300 << 20, Context: 65536}})
	setFree := devices(t, m)
	estimate, err := models.Fit(t.Context(), m, "first", gpu.Setting{})
	if err != nil {
		t.Fatal(err)
	}
	setFree(20<<10, 24<<10)
	took := estimate.Total>>20 + 200
	if _, err := switching.Switch(t.Context(), m, switching.Request{Route: claude.Local}, localrunner.Progress{Begin: func(proof string) {
		if proof == "system_message" { // it is loaded by then
			setFree(20<<10-took, 24<<10)
		}
	}}); err != nil {
		t.Fatal(err)
	}
	fit, err := models.Fit(t.Context(), m, "first", gpu.Setting{})
	if err != nil || fit.Bound != gpu.Learnt || fit.Total>>20 != took {
		t.Errorf("%+v %v, it took %d MiB", fit, err, took)
	}
	if other, err := models.Fit(t.Context(), m, "first", gpu.Setting{Context: 40960}); err != nil || other.Bound != gpu.Estimate {
		t.Errorf("another context: %+v %v", other, err)
	}
	all, err := models.List(t.Context(), m)
	if err != nil || all[0].Need>>20 != took || all[0].Fit != gpu.Fits {
		t.Errorf("%+v %v", all, err)
	}
}
