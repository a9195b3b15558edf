// Command llama-server is a double of llama.cpp's server, as far as Model Runner
// and Claude Code use it. It computes nothing. What it obeys stands in the model
// file: its chat template, its context, and the key lab.behaviour, a list of
// "oom" (dies at load as a full GPU makes it), "alone" (does so while another
// engine runs), "crash-at-load", "no-tools", "short-ids", "load=5s" and "slow=5s".
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/internal/lab/messages"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var model, host string
	contextSize := 0
	for i, arg := range args {
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch arg {
		case "--version":
			fmt.Println("version: 10068 (double)")
			return nil
		case "--list-devices":
			fmt.Println("Available devices:")
			return nil
		case "--model":
			model = value
		case "--host":
			host = value
		case "--ctx-size", "-c":
			contextSize, _ = strconv.Atoi(value)
		}
	}
	keys, err := gguf.ReadKeys(model)
	if err != nil {
		return err
	}
	server := &messages.Server{
		Answer: " " + gguf.Answer,
		Model:  model,
		Strict: strings.Contains(keys[gguf.KeyTemplate], "System message must be at the beginning"),
		Plain:  !strings.Contains(keys[gguf.KeyTemplate], "tool"),
	}
	if server.Context = contextSize; contextSize == 0 {
		server.Context, _ = strconv.Atoi(keys[gguf.KeyContext])
	}
	load, err := behave(server, keys[gguf.KeyBehaviour], host)
	if err != nil {
		return err
	}
	return serve(host, server, load)
}

// behave makes the server do what the model file's lab.behaviour says. It returns how long
// the load takes; an error is one at load.
func behave(server *messages.Server, behaviours, host string) (load time.Duration, err error) {
	for behaviour := range strings.SplitSeq(behaviours, ",") {
		name, value, _ := strings.Cut(behaviour, "=")
		switch name {
		case "oom":
			return 0, errMemory
		case "alone":
			if others(host) {
				return 0, errMemory
			}
		case "crash-at-load":
			return 0, errors.New("terminate called without an active exception")
		case "no-tools":
			server.NoTools = true
		case "short-ids":
			server.ShortID = true
		case "load":
			load, err = time.ParseDuration(value)
		case "slow":
			server.Slow, err = time.ParseDuration(value)
		}
		if err != nil {
			return 0, err
		}
	}
	return load, nil
}

var errMemory = errors.New("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 24576.00 MiB on device 0: cudaMalloc failed: out of memory")

// others reports whether another engine of the same runner listens.
func others(own string) bool {
	sockets, _ := filepath.Glob("*.sock")
	for _, socket := range sockets {
		if socket == own {
			continue
		}
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

// serve listens on a unix socket, is unhealthy while it "loads", and ends on SIGINT.
func serve(socket string, messages http.Handler, load time.Duration) error {
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var ready atomic.Bool
	loaded := time.AfterFunc(load, func() { ready.Store(true) })
	defer loaded.Stop()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, `{"status":"ok"}`)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "llamacpp:requests_processing 0")
	})
	mux.Handle("/v1/", messages)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
