package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// gatewayBench sends the same requests to the runner directly and through the
// gateway of a running tray.
type gatewayBench struct {
	b       *bench
	tray    *exec.Cmd
	client  *http.Client
	gateway string
	token   string
	body    string
	sent    int // through the gateway
}

const (
	requestSize  = 100_000
	soakRequests = 6000
)

func (b *bench) newGatewayBench() (*gatewayBench, error) {
	cmd, _, err := b.trayWith("SWITCHYARD_PARALLEL=8")
	if err != nil {
		return nil, err
	}
	g := &gatewayBench{b: b, tray: cmd, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	local := exec.CommandContext(b.ctx, b.program, "local", "--force", "ai/tiny")
	local.Env, local.Dir = b.environ, b.home
	if out, err := local.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(b.home, ".claude", "settings.json"))
	if err != nil {
		return nil, err
	}
	var settings struct{ Env map[string]string }
	if err := json.Unmarshal(data, &settings); err != nil {
		return nil, err
	}
	g.gateway, g.token = settings.Env["ANTHROPIC_BASE_URL"]+"/v1/messages", settings.Env["ANTHROPIC_AUTH_TOKEN"]
	// A conversation as Claude Code's: tools, many messages, a system message among them.
	type message struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}
	var messages []message
	for i := range 40 {
		text := strings.Repeat("some words of a conversation ", requestSize/40/30)
		messages = append(messages, message{[]string{"user", "assistant"}[i%2], []map[string]string{{"type": "text", "text": text}}})
		if i == 0 {
			messages = append(messages, message{"system", "a reminder"})
		}
	}
	messages = append(messages, message{"user", "hello\n"})
	body, err := json.Marshal(map[string]any{"model": "docker.io/ai/tiny:latest", "max_tokens": 16, "stream": true, "system": "You are an agent.", "messages": messages})
	g.body = string(body)
	return g, err
}

// once sends one request and returns the time to the first byte of its answer.
func (g *gatewayBench) once(ctx context.Context, url string) (first time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(g.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+g.token)
	start := time.Now()
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
		return 0, err
	}
	first = time.Since(start)
	rest, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(rest), "message_stop")) {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, rest)
	}
	return first, err
}

// many sends n requests from some clients at once.
func (g *gatewayBench) many(url string, n, clients int) (first []time.Duration, took time.Duration, err error) {
	jobs := make(chan struct{}, n)
	for range n {
		jobs <- struct{}{}
	}
	close(jobs)
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	for range clients {
		all.Go(func() {
			for range jobs {
				d, one := g.once(g.b.ctx, url)
				mu.Lock()
				first, err = append(first, d), errors.Join(err, one)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if url == g.gateway {
		g.sent += n
	}
	return first, time.Since(start), err
}

// added compares the two ways in alternating rounds, so that both see the same machine.
func (g *gatewayBench) added(clients int) (string, error) {
	direct := g.b.runner.URL + "/anthropic/v1/messages"
	var firstDirect, firstGateway []time.Duration
	var tookDirect, tookGateway time.Duration
	for range 10 {
		for _, url := range []string{direct, g.gateway} {
			first, took, err := g.many(url, 100, clients)
			if err != nil {
				return "", err
			}
			if url == direct {
				firstDirect, tookDirect = append(firstDirect, first...), tookDirect+took
			} else {
				firstGateway, tookGateway = append(firstGateway, first...), tookGateway+took
			}
		}
	}
	slices.Sort(firstDirect)
	slices.Sort(firstGateway)
	at := func(percent int) string {
		d, g := firstDirect[len(firstDirect)*percent/100], firstGateway[len(firstGateway)*percent/100]
		return fmt.Sprintf("%+.2f ms (%.2f → %.2f)", (g-d).Seconds()*1000, d.Seconds()*1000, g.Seconds()*1000)
	}
	return fmt.Sprintf("%s median, %s p99; throughput × %.2f", at(50), at(99), tookDirect.Seconds()/tookGateway.Seconds()), nil
}

func (g *gatewayBench) memory() (string, error) {
	if _, _, err := g.many(g.gateway, max(0, soakRequests-g.sent), 8); err != nil {
		return "", err
	}
	size, err := memory(g.tray.Process.Pid)
	if err != nil {
		return "", err
	}
	return size, end(g.tray)
}

func (b *bench) gatewayRows() (rows []row) {
	var g *gatewayBench
	return []row{
		{"gateway: time to first byte, 100 KB, 1 client", "+0.5 ms median", func() (result string, err error) {
			if g, err = b.newGatewayBench(); err != nil {
				return "", err
			}
			return g.added(1)
		}},
		{"gateway: the same, 8 clients", "", func() (string, error) { return g.added(8) }},
		{"gateway: memory after 6,000 such requests", "25 MB in all", func() (string, error) { return g.memory() }},
	}
}
