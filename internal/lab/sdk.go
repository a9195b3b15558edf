package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// SDK is Anthropic's own SDK, in a process of its own that asks a Messages API.
type SDK struct {
	mu   sync.Mutex
	in   io.WriteCloser
	out  *bufio.Reader
	stop func()
}

// Answer is what the SDK's types read in an answer.
type Answer struct {
	Status       int
	Error, Type  string   // an error's message and type
	Problems     []string // what no answer of Anthropic's has
	Stop         string   // why it ended
	StopSequence string   `json:"stop_sequence"`
	Blocks       []struct {
		Type, Text, Name string
		Input            json.RawMessage
	}
	Input, Cached, Output int64 // tokens
}

// StartSDK builds the program in internal/lab/sdk, once, and starts it for an API.
func StartSDK(ctx context.Context, url, token string) (*SDK, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	module := filepath.Join(root, "internal", "lab", "sdk")
	dir, unlock, err := cache(ctx, "sdk", runtime.Version(), filepath.Join(module, "go.sum"), filepath.Join(module, "main.go"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	path := filepath.Join(dir, "sdk")
	if err := goBuild(ctx, module, path, "."); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, url, token)
	cmd.Env = []string{"HOME=" + dir}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stop, err := start(cmd)
	return &SDK{in: in, out: bufio.NewReader(out), stop: stop}, err
}

// Stop ends the program.
func (s *SDK) Stop() { s.stop() }

// Ask sends the body of a request; stream says whether that wants a stream.
func (s *SDK) Ask(body []byte, stream bool) (a Answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = json.NewEncoder(s.in).Encode(map[string]any{"body": body, "stream": stream})
	if err != nil {
		return a, fmt.Errorf("the SDK's program: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("the SDK's program: %w", err)
	}
	return a, json.Unmarshal(line, &a)
}
