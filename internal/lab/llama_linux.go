package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

// ErrNoLlama says that a real llama.cpp cannot be had here.
var ErrNoLlama = errors.New("there is no real llama.cpp: name its server in LAB_LLAMA_SERVER, or run as root on amd64 with debootstrap and debian-archive-keyring installed")

// llamaServer runs the server of the Debian beside it from outside that folder, as any
// user. LLAMA_SERVER_SLOTS_DEBUG lets its /slots show the last prompt of every slot. One
// thread, because several would wait for each other longer than tiny models compute.
const llamaServer = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/sid
lib=$root/usr/lib/x86_64-linux-gnu
cpu=x64
if grep -qw avx2 /proc/cpuinfo; then cpu=haswell; fi
export GGML_BACKEND_PATH="$lib/ggml/backends0/libggml-cpu-$cpu.so" LLAMA_SERVER_SLOTS_DEBUG=1 LLAMA_ARG_THREADS=1
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$lib:$lib/llama:$lib/ggml/backends0" "$root/usr/bin/llama-server" "$@"
`

// llama is a folder with the llama-server of Debian's unstable release, unpacked once.
// The error wraps ErrNoLlama where that cannot be.
func llama(ctx context.Context) (dir string, err error) {
	command := []string{"debootstrap", "--variant=minbase", "--include=llama.cpp", "sid"}
	dir, unlock, err := cache(ctx, "llama", command...)
	if err != nil {
		return "", err
	}
	defer unlock()
	root := filepath.Join(dir, "sid")
	if _, err := os.Stat(root); err != nil {
		if _, err := exec.LookPath(command[0]); err != nil || os.Getuid() != 0 || runtime.GOARCH != "amd64" {
			return "", ErrNoLlama
		}
		fresh := root + ".new"
		if err := os.RemoveAll(fresh); err != nil { // half of it, from a run that was ended
			return "", err
		}
		cmd := exec.CommandContext(ctx, command[0], append(command[1:], fresh)...)
		cmd.Env = alone.Outside()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w; debootstrap: %v\n%s", ErrNoLlama, err, out[max(0, len(out)-2000):])
		}
		if err := os.Rename(fresh, root); err != nil {
			return "", err
		}
	}
	script := filepath.Join(dir, "llama-server")
	if data, err := os.ReadFile(script); err == nil && string(data) == llamaServer {
		return dir, nil
	}
	fresh := script + ".new" // another run may be starting the one that is there
	if err := os.WriteFile(fresh, []byte(llamaServer), 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(fresh, script)
}

// WithLlama are the parts with a real llama.cpp for their engine: the one that
// LAB_LLAMA_SERVER names, or Debian's. The error wraps ErrNoLlama where there is none.
func (p *Parts) WithLlama(ctx context.Context) (*Parts, error) {
	if p.RealEngine {
		return p, nil
	}
	dir, err := llama(ctx)
	if err != nil {
		return nil, err
	}
	all := *p
	all.EngineDir, all.RealEngine = dir, true
	return &all, nil
}

// EngineBuild is what the engine says of its version.
func (p *Parts) EngineBuild(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(p.EngineDir, "llama-server"), "--version").CombinedOutput()
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first, err
}
