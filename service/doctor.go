package service

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Severity is how bad a finding is.
type Severity string

const (
	Bad  Severity = "error"   // the local route cannot work
	Poor Severity = "warning" // it works, but not well or not safely
)

// Finding is something that is wrong with the machine's set-up.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"`
	Command  string   `json:"command"` // what exactly to type; empty when there is no such command
	Fixable  bool     `json:"fixable"` // Fix does it

	fix func(context.Context) error
}

// Fix does what the remedy says. Only a fixable finding has it.
func (f Finding) Fix(ctx context.Context) error { return f.fix(ctx) }

const (
	// diskLow is less than a model's download and Docker's image need.
	diskLow = 5 << 30
	// oldestClaude is the oldest Claude Code that Switchyard was tried with.
	oldestClaude = "2.1.197"
)

// Doctor looks at everything that the local route needs, and returns what is
// wrong, the worst first. It changes nothing and loads no model.
func (y *Yard) Doctor(ctx context.Context) []Finding {
	d := &doctor{y: y}
	d.setUp(ctx)
	state := y.Look(ctx)
	for _, w := range state.Warnings {
		severity := Poor
		switch w.Code {
		case "settings_broken", "stronger_layer", "gateway_down", "ledger":
			severity = Bad
		case "runner_down", "runner_failed", "runner_stopped", "runner_exposed", "runner_open_origins", "runner_plain_http":
			continue // found above
		}
		d.add(Finding{Code: w.Code, Severity: severity, Text: w.Text, Remedy: w.Remedy})
	}
	for _, w := range state.Runner.exposure() {
		finding := Finding{Code: w.Code, Severity: Poor, Text: w.Text, Remedy: w.Remedy}
		if w.Code == "runner_exposed" {
			finding.Command = "switchyard runner install --host 127.0.0.1"
			finding.fix = func(ctx context.Context) error {
				return y.Install(ctx, engine.Install{Host: "127.0.0.1"}, func(string) {})
			}
		}
		d.add(finding)
	}
	return d.sorted()
}

// setUp looks at the runner, the disk, Claude Code and proxies.
func (d *doctor) setUp(ctx context.Context) {
	if f, err := d.y.find(ctx); err != nil {
		what, remedy := why(err)
		d.add(Finding{Code: "configuration", Severity: Bad, Text: what, Remedy: remedy})
	} else {
		d.runner(ctx, f)
	}
	d.disk(ctx)
	d.claude(ctx)
	d.proxies()
}

// sorted are the findings, the worst first.
func (d *doctor) sorted() []Finding {
	slices.SortStableFunc(d.found, func(a, b Finding) int { return a.rank() - b.rank() })
	return d.found
}

func (f Finding) rank() int {
	if f.Severity == Bad {
		return 0
	}
	return 1
}

type doctor struct {
	y     *Yard
	found []Finding
}

func (d *doctor) add(f Finding) {
	f.Fixable = f.fix != nil
	f.Text, f.Remedy = d.y.tilde(f.Text), d.y.tilde(f.Remedy)
	d.found = append(d.found, f)
}

// runner looks at the engine and at what it runs.
func (d *doctor) runner(ctx context.Context, f found) {
	if p := f.seen.Problem; p != nil && !(f.asked() && f.ask(ctx, "?").err == nil) {
		finding := Finding{Code: p.Code, Severity: Bad, Text: p.Why, Remedy: p.Remedy, Command: commandIn(p.Remedy)}
		if p.Code == engine.NotInstalled && f.seen.Controlled {
			finding.fix = func(ctx context.Context) error {
				return d.y.Install(ctx, engine.Install{}, func(string) {})
			}
		}
		d.add(finding)
		return
	}
	a := api{}
	if f.asked() {
		a = f.ask(ctx, "")
	}
	switch r := f.describe(a); r.State {
	case Running:
		d.running(ctx, f, a)
	case Starting:
		d.add(Finding{Code: "runner_restarting", Severity: Bad, Text: "Model Runner keeps ending: " + r.Reason, Remedy: "see its log", Command: "switchyard runner logs"})
	default:
		d.down(ctx, f, r)
	}
}

// commandIn is the command that a remedy names last, if it names one.
func commandIn(remedy string) string {
	_, text, ok := strings.Cut(remedy, ": ")
	if !ok || strings.ContainsAny(text, "(,;") {
		return ""
	}
	return text
}

// down says why a runner that was found does not serve.
func (d *doctor) down(ctx context.Context, f found, r Runner) {
	port := engine.PortOf(f.seen.URL)
	if r.State == Stopped && f.seen.State == engine.Stopped && f.seen.Socket == "" && port > 0 && listens(port) {
		who, remedy := d.y.portTaken(port)
		finding := Finding{Code: engine.PortTaken, Severity: Bad, Text: "Model Runner is stopped, and " + who, Remedy: remedy}
		if free := freePort(port + 1); free > 0 {
			finding.Command = fmt.Sprintf("switchyard runner install --port %d", free)
			finding.fix = func(ctx context.Context) error {
				return d.y.Install(ctx, engine.Install{Port: free}, func(string) {})
			}
		}
		d.add(finding)
		return
	}
	text := "Model Runner does not run"
	if r.State == Broken {
		text = "Model Runner does not work"
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	finding := Finding{Code: "runner_down", Severity: Bad, Text: text, Remedy: f.remedy()}
	if f.seen.Controlled && r.State == Stopped && d.y.cloud() {
		finding.Severity, finding.Text = Poor, text+"; a switch to local starts it"
	}
	if port > 0 && f.seen.Socket == "" && r.State == Broken {
		if who := d.y.holder(ctx, port); who != "" {
			finding.Code, finding.Text = "port_strange", finding.Text+"; port "+strconv.Itoa(port)+" is held by "+who
		}
	}
	if f.seen.Controlled {
		verb := StartRunner
		if f.seen.State == engine.Running {
			verb = RestartRunner
		}
		finding.Remedy, finding.Command = string(verb)+" it", "switchyard runner "+string(verb)
		finding.fix = func(ctx context.Context) error { return d.y.Control(ctx, verb) }
	}
	d.add(finding)
}

// cloud tells whether every target is in the cloud, where no runner is needed.
func (y *Yard) cloud() bool {
	switched, err := y.ledger.Switched()
	if err != nil {
		return false
	}
	for _, t := range switched {
		if s, err := y.ledger.Inspect(t); err != nil || s.Route != claude.Cloud {
			return false
		}
	}
	return true
}

// running looks at a runner that answers.
func (d *doctor) running(ctx context.Context, f found, a api) {
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	short, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if known, err := client.Anthropic(short); err == nil && !known {
		d.add(Finding{Code: "runner_too_old", Severity: Bad, Text: "this Model Runner is older than 1.0.11 and does not know Anthropic's API", Remedy: "get a newer one", Command: "switchyard runner install --pull"})
	}
	if len(a.models) == 0 {
		d.add(Finding{Code: "no_model", Severity: Bad, Text: "Model Runner has no model", Remedy: "pull one", Command: "switchyard pull ai/qwen3-coder"})
	}
	if f.engine.Kind() == engine.Desktop && f.seen.Socket != "" {
		d.add(Finding{Code: engine.TCPOff, Severity: Poor, Text: "Docker Desktop's Model Runner has no TCP port: only Switchyard's gateway reaches it", Remedy: "open it",
			Command: fmt.Sprintf("docker desktop enable model-runner --tcp %d", engine.Port)})
	}
	if makers := gpu.Present("/"); len(makers) > 0 {
		d.gpu(ctx, f, makers[0])
	}
}

// gpu looks whether the engine uses the GPU that is there.
func (d *doctor) gpu(ctx context.Context, f found, maker gpu.Maker) {
	const code = "gpu_unused"
	switch f.engine.Kind() {
	case engine.Container:
		if variant := map[gpu.Maker]string{gpu.NVIDIA: "cuda", gpu.AMD: "rocm"}[maker]; !f.seen.GPU {
			d.add(Finding{Code: code, Severity: Poor, Text: "the machine has a GPU of " + string(maker) + ", but Model Runner's container computes on the CPU",
				Remedy: "install Docker's support for it (for NVIDIA the container toolkit), then make the container anew", Command: "docker model reinstall-runner --gpu " + variant})
		}
	case engine.Process:
		llama := d.y.path(d.y.Config.LlamaServer)
		if llama == "" {
			llama = engine.LookPath("llama-server", d.y.getenv("PATH"))
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, llama, "--list-devices").CombinedOutput()
		if _, devices, ok := bytes.Cut(out, []byte("Available devices:")); err == nil && ok && len(bytes.TrimSpace(devices)) == 0 {
			d.add(Finding{Code: code, Severity: Poor, Text: "the machine has a GPU of " + string(maker) + ", but this llama-server computes on the CPU",
				Remedy: "install a llama.cpp that was built for it (https://github.com/ggml-org/llama.cpp/releases), or name it: llama_server in config.toml"})
		}
	}
}

// disk looks for room where models and Docker's images go.
func (d *doctor) disk(ctx context.Context) {
	said := map[string]bool{}
	for _, dir := range []string{filepath.Join(d.y.Home, ".docker"), "/var/lib/docker", d.y.Home} {
		usage, err := disk.UsageWithContext(ctx, dir)
		if err != nil || usage.Free >= diskLow || usage.Total == 0 {
			continue
		}
		if key := fmt.Sprint(usage.Total, usage.Free); !said[key] {
			said[key] = true
			d.add(Finding{Code: "disk_low", Severity: Poor, Text: fmt.Sprintf("only %s are free at %s: a model needs more", words.Size(int64(usage.Free)), dir),
				Remedy: "remove models that nobody uses", Command: "switchyard models prune"})
		}
	}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+`)

// claude looks for Claude Code.
func (d *doctor) claude(ctx context.Context) {
	const install = "npm install -g @anthropic-ai/claude-code"
	path := d.y.claudeProgram()
	if path == "" {
		d.add(Finding{Code: "claude_missing", Severity: Bad, Text: "Claude Code (claude) was not found", Remedy: "install it", Command: install})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Dir = d.y.Environ, d.y.Home
	out, err := cmd.Output()
	if version := versionNumber.FindString(string(out)); err == nil && version != "" && older(version, oldestClaude) {
		d.add(Finding{Code: "claude_old", Severity: Poor, Text: "Claude Code " + version + " is older than " + oldestClaude + ", the oldest that Switchyard was tried with", Remedy: "update it", Command: "claude update"})
	} else if err != nil {
		d.add(Finding{Code: "claude_broken", Severity: Bad, Text: "Claude Code (" + path + ") does not start", Remedy: "see what it says", Command: "claude --version"})
	}
}

// older compares two versions of three numbers.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return false
}

// proxies looks for one that would get the requests to this machine's own address.
// A switch to local completes NO_PROXY in Claude Code's settings; a shell with
// another proxy than Switchyard knows of is told here.
func (d *doctor) proxies() {
	proxy, proxied := d.y.Scope("").Proxied()
	if !proxied {
		return
	}
	finding := Finding{Code: "proxy_local", Severity: Poor, Text: "the proxy of " + proxy.Name + " gets Claude Code's requests to 127.0.0.1 too, because NO_PROXY does not name it; a switch to local corrects that in its settings",
		Remedy: "correct it for all programs, where the proxy is set", Command: "export NO_PROXY=$NO_PROXY,localhost,127.0.0.1,::1"}
	if runtime.GOOS == "windows" {
		finding.Command = "setx NO_PROXY localhost,127.0.0.1,::1"
	}
	d.add(finding)
}
