//go:build e2e && linux

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
)

// Requests made at random of Anthropic's own types: no llama.cpp refuses one.
// LEGAL_COUNT says how many for each of three templates.
func TestEveryLegalRequest(t *testing.T) {
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if parts, err = parts.WithLlama(t.Context()); err != nil {
		t.Fatal(err)
	}
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range []string{"hermes", "mistral", "llama31"} {
		t.Run(template, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-C", filepath.Join(root, "internal", "lab", "legal"), "-tags", "engines", "-count=1", "-v", "-run", "EnginesRefuse", ".")
			cmd.Env = append(alone.Outside(), "LEGAL_ENGINES="+bareEngine(t, parts, template), "LEGAL_COUNT="+cmp.Or(os.Getenv("LEGAL_COUNT"), "1000"))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), " 0 refused") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// bareEngine starts llama.cpp alone on a tiny model, until the test ends.
func bareEngine(t *testing.T, parts *lab.Parts, template string) (url string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.gguf")
	if err := gguf.WriteFile(file, gguf.Model{Template: template, Context: 65536}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(parts.EngineDir, "llama-server"), "-m", file, "--port", port, "--jinja", "-c", "65536", "--parallel", "1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = cmd.Wait() })
	url = "http://127.0.0.1:" + port
	deadline := time.NewTimer(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(url + "/health"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		select {
		case <-deadline.C:
			t.Fatal("llama-server did not start")
		case <-tick.C:
		}
	}
}
