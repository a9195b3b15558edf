package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// runner checks the engine and the runner.
func (d *doctor) runner(ctx context.Context, f localrunner.Instance) {
	if p := f.Seen.Problem; p != nil && !(f.MayAnswer() && f.Ask(ctx, "?").Err == nil) {
		finding := state.Finding{Code: p.Code, Severity: state.SeverityError, Text: p.Why, Remedy: p.Remedy, Command: commandIn(p.Remedy)}
		if p.Code == engine.NotInstalled && f.Seen.Controlled {
			finding.Cure = func(ctx context.Context) error {
				return localrunner.Install(ctx, d.machine, engine.Install{}, func(string) {})
			}
		}
		d.add(finding)
		return
	}
	a := localrunner.Status{}
	if f.MayAnswer() {
		a = f.Ask(ctx, "")
	}
	switch r := f.Describe(a); r.State {
	case state.Running:
		d.running(ctx, f, a)
	case state.Starting:
		d.add(state.Finding{Code: "runner_restarting", Severity: state.SeverityError, Text: "Model Runner keeps ending: " + r.Reason, Remedy: "see its log", Command: "switchyard runner logs"})
	default:
		d.down(ctx, f, r)
	}
}

// commandIn is the command that a remedy ends with, if any.
func commandIn(remedy string) string {
	_, text, ok := strings.Cut(remedy, ": ")
	if !ok || strings.ContainsAny(text, "(,;") {
		return ""
	}
	return text
}

// down says why a runner that was found does not answer.
func (d *doctor) down(ctx context.Context, f localrunner.Instance, r state.Runner) {
	port := engine.PortOf(f.Seen.URL)
	if r.State == state.Stopped && f.Seen.State == engine.Stopped && f.Seen.Socket == "" && port > 0 && localrunner.Listens(port) {
		who, remedy := localrunner.PortTaken(d.machine, port)
		finding := state.Finding{Code: engine.PortTaken, Severity: state.SeverityError, Text: "Model Runner is stopped, and " + who, Remedy: remedy}
		if free := localrunner.FreePort(port + 1); free > 0 {
			finding.Command = fmt.Sprintf("switchyard runner install --port %d", free)
			finding.Cure = func(ctx context.Context) error {
				return localrunner.Install(ctx, d.machine, engine.Install{Port: free}, func(string) {})
			}
		}
		d.add(finding)
		return
	}
	text := "Model Runner is not running"
	if r.State == state.RunnerFailed {
		text = "Model Runner does not work"
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	finding := state.Finding{Code: "runner_down", Severity: state.SeverityError, Text: text, Remedy: f.Remedy()}
	if f.Seen.Controlled && r.State == state.Stopped && cloud(d.machine) {
		finding.Severity, finding.Text = state.SeverityWarning, text+"; a switch to local starts it"
	}
	if port > 0 && f.Seen.Socket == "" && r.State == state.RunnerFailed {
		if who := localrunner.PortHolder(ctx, d.machine, port); who != "" {
			finding.Code, finding.Text = "port_strange", finding.Text+"; port "+strconv.Itoa(port)+" is used by "+who
		}
	}
	if f.Seen.Controlled {
		verb := localrunner.Start
		if f.Seen.State == engine.Running {
			verb = localrunner.Restart
		}
		finding.Remedy, finding.Command = string(verb)+" it", "switchyard runner "+string(verb)
		finding.Cure = func(ctx context.Context) error { return control.ControlRunner(ctx, d.machine, verb) }
	}
	d.add(finding)
}

// running checks a runner that answers.
func (d *doctor) running(ctx context.Context, f localrunner.Instance, a localrunner.Status) {
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	short, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	if known, err := client.Anthropic(short); err == nil && !known {
		d.add(state.Finding{Code: "runner_too_old", Severity: state.SeverityError, Text: "this Model Runner is older than 1.0.11 and does not know Anthropic's API", Remedy: "update it", Command: "switchyard runner install --pull"})
	}
	if len(a.Models) == 0 {
		d.add(state.Finding{Code: "no_model", Severity: state.SeverityError, Text: "Model Runner has no model", Remedy: "pull one", Command: "switchyard pull ai/qwen3-coder"})
	}
	if f.Engine.Kind() == engine.Desktop && f.Seen.Socket != "" {
		d.add(state.Finding{Code: engine.TCPOff, Severity: state.SeverityWarning, Text: "Docker Desktop's Model Runner has no TCP port: only Switchyard's gateway can reach it", Remedy: "open it",
			Command: fmt.Sprintf("docker desktop enable model-runner --tcp %d", engine.Port)})
	}
	if makers := gpu.Present("/"); len(makers) > 0 {
		d.gpu(ctx, f, makers[0])
	}
}

// gpu checks that the engine uses the GPU.
func (d *doctor) gpu(ctx context.Context, f localrunner.Instance, maker gpu.Maker) {
	const code = "gpu_unused"
	switch f.Engine.Kind() {
	case engine.Container:
		if variant := map[gpu.Maker]string{gpu.NVIDIA: "cuda", gpu.AMD: "rocm"}[maker]; !f.Seen.GPU {
			d.add(state.Finding{Code: code, Severity: state.SeverityWarning, Text: "this machine has a GPU (" + string(maker) + "), but Model Runner's container runs on the CPU",
				Remedy: "install Docker's support for it (for NVIDIA the container toolkit), then recreate the container", Command: "docker model reinstall-runner --gpu " + variant})
		}
	case engine.Process:
		llama := d.machine.Path(d.machine.Config.LlamaServer)
		if llama == "" {
			llama = engine.LookPath("llama-server", d.machine.Getenv("PATH"))
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, llama, "--list-devices").CombinedOutput()
		if _, devices, ok := bytes.Cut(out, []byte("Available devices:")); err == nil && ok && len(bytes.TrimSpace(devices)) == 0 {
			d.add(state.Finding{Code: code, Severity: state.SeverityWarning, Text: "this machine has a GPU (" + string(maker) + "), but this llama-server runs on the CPU",
				Remedy: "install a llama.cpp built for it (https://github.com/ggml-org/llama.cpp/releases), or set llama_server in config.toml"})
		}
	}
}

// cloud reports whether all targets are on the cloud route, where no runner is needed.
func cloud(m *machine.Machine) bool {
	switched, err := m.Ledger.Switched()
	if err != nil {
		return false
	}
	for _, t := range switched {
		if s, err := m.Ledger.Inspect(t); err != nil || s.Route != claude.Cloud {
			return false
		}
	}
	return true
}
