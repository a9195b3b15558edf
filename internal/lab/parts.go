// Package lab holds real parts for tests, benchmarks and the demo: Docker Model
// Runner and its command line built from their module, a registry, an engine (a
// double, or llama.cpp itself), Claude Code from npm, a
// desktop session bus. Nothing in it touches the user's own files.
package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

// Parts are the programs that a lab is made of.
type Parts struct {
	ModelRunner string // the real server
	DockerModel string // the real "docker model" command line
	Registry    string // Model Runner's own test registry, as a program
	EngineDir   string // a folder with a llama-server
	RealEngine  bool   // it is llama.cpp's, not the double
}

func partsIn(dir string) *Parts {
	return &Parts{
		ModelRunner: filepath.Join(dir, "model-runner"),
		DockerModel: filepath.Join(dir, "docker-model"),
		Registry:    filepath.Join(dir, "registry"),
		EngineDir:   filepath.Join(dir, "engine"),
	}
}

// Build makes the parts, or finds them as an earlier call left them. They are
// kept outside the repository, in LAB_CACHE or the user's cache folder. LAB_BUILT
// names a folder that holds them already, and Switchyard too.
func Build(ctx context.Context) (*Parts, error) {
	if dir := os.Getenv("LAB_BUILT"); dir != "" {
		return partsIn(dir), nil
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	module := filepath.Join(root, "internal", "lab", "parts")
	dir, unlock, err := cache(ctx, "parts", runtime.Version(), filepath.Join(module, "go.sum"), filepath.Join(module, "registry", "main.go"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	parts := partsIn(dir)
	for path, pkg := range map[string]string{
		parts.ModelRunner: "github.com/docker/model-runner",
		parts.DockerModel: "github.com/docker/model-runner/cmd/cli",
		parts.Registry:    "./registry",
	} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := goBuild(ctx, module, path, pkg); err != nil {
			return nil, err
		}
	}
	engine := filepath.Join(parts.EngineDir, "llama-server")
	if real := os.Getenv("LAB_LLAMA_SERVER"); real != "" {
		parts.EngineDir, parts.RealEngine = filepath.Join(dir, "real-engine"), true
		engine = filepath.Join(parts.EngineDir, "llama-server")
		if err := os.MkdirAll(parts.EngineDir, 0o755); err != nil {
			return nil, err
		}
		_ = os.Remove(engine)
		return parts, os.Symlink(real, engine)
	}
	// The double is this repository's own code: always built, the Go cache makes it quick.
	return parts, goBuild(ctx, root, engine, "./internal/lab/llama-server")
}

func goBuild(ctx context.Context, dir, output, pkg string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", output, pkg)...)
	cmd.Dir = dir
	cgo := "0"
	if len(flags) > 0 {
		cgo = "1" // the race detector needs it
	}
	cmd.Env = append(alone.Outside(), "CGO_ENABLED="+cgo, "GOOS=", "GOARCH=", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}

// Root is the repository's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this is not inside the repository, where it must run")
		}
		dir = filepath.Dir(dir)
	}
}

// MCP builds the MCP server with sixty ugly tools, and returns its path.
func MCP(ctx context.Context) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, unlock, err := cache(ctx, "mcp", filepath.Join(root, "internal", "lab", "mcp", "main.go"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "mcp")
	return path, goBuild(ctx, root, path, "./internal/lab/mcp")
}

// Switchyard builds the program itself and returns its path; with LAB_RACE set,
// with the race detector.
func Switchyard(ctx context.Context) (string, error) {
	if dir := os.Getenv("LAB_BUILT"); dir != "" {
		return filepath.Join(dir, "switchyard"), nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir, unlock, err := cache(ctx, "switchyard", root)
	if err != nil {
		return "", err
	}
	defer unlock()
	if os.Getenv("LAB_RACE") != "" {
		path := filepath.Join(dir, "switchyard-race")
		return path, goBuild(ctx, root, path, ".", "-race")
	}
	path := filepath.Join(dir, "switchyard")
	return path, goBuild(ctx, root, path, ".")
}

// claudeVersion is what LAB_CLAUDE_VERSION may override: a version, or a tag such as "latest".
const claudeVersion = "latest"

// ErrNoClaude says that Claude Code cannot be had here.
var ErrNoClaude = errors.New("the real Claude Code is not to be had: npm is missing or cannot reach its registry")

// Claude installs the real Claude Code from npm, once, and returns its path. The error wraps ErrNoClaude.
func Claude(ctx context.Context) (string, error) {
	version := claudeVersion
	if v := os.Getenv("LAB_CLAUDE_VERSION"); v != "" {
		version = v
	}
	return ClaudeVersion(ctx, version)
}

// ClaudeVersion is Claude for a version, or a tag such as "latest".
func ClaudeVersion(ctx context.Context, version string) (string, error) {
	dir, unlock, err := cache(ctx, "claude", version)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "node_modules", ".bin", "claude")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", ErrNoClaude
	}
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-fund", "--no-audit", "--prefix", dir, "@anthropic-ai/claude-code@"+version)
	cmd.Env = alone.Outside()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w (%v)\n%s", ErrNoClaude, err, bytes.TrimSpace(out))
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: npm installed no claude", ErrNoClaude)
	}
	return path, nil
}

// cache is a folder for what the inputs determine: texts, and the contents of
// files among them. It is locked, so that two test binaries do not build the same
// part at the same time.
func cache(ctx context.Context, kind string, inputs ...string) (dir string, unlock func(), err error) {
	base := os.Getenv("LAB_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", nil, fmt.Errorf("no place for the lab's binaries (set LAB_CACHE): %w", err)
		}
		base = filepath.Join(user, "switchyard-lab")
	}
	hash := sha256.New()
	for _, input := range inputs {
		if data, err := os.ReadFile(input); err == nil {
			hash.Write(data)
		}
		hash.Write([]byte(input))
	}
	dir = filepath.Join(base, kind+"-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return "", nil, err
	}
	return dir, func() { _ = lock.Close() }, nil
}
