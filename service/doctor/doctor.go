// Package doctor finds problems of the machine's set-up, and what would go wrong without a
// network, each with a remedy.
package doctor

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localclaude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/status"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	// diskLow is less than a model's download and Docker's image need.
	diskLow = 5 << 30
	// oldestClaude is the oldest Claude Code that Switchyard is tested with.
	oldestClaude = "2.1.197"
)

// Examine checks everything that the local route needs, and returns the problems, the worst
// first. It changes nothing and loads no model.
func Examine(ctx context.Context, m *machine.Machine) []state.Finding {
	d := &doctor{machine: m}
	d.setUp(ctx)
	now := status.Look(ctx, m)
	for _, w := range now.Warnings {
		severity := state.SeverityWarning
		switch w.Code {
		case "settings_broken", "stronger_layer", "gateway_down", "ledger":
			severity = state.SeverityError
		case "runner_down", "runner_failed", "runner_stopped", "runner_exposed", "runner_open_origins", "runner_plain_http":
			continue // checked by setUp and below
		}
		d.add(state.Finding{Code: w.Code, Severity: severity, Text: w.Text, Remedy: w.Remedy})
	}
	d.emptied(now.Targets)
	for _, w := range now.Runner.Exposure() {
		finding := state.Finding{Code: w.Code, Severity: state.SeverityWarning, Text: w.Text, Remedy: w.Remedy}
		if w.Code == "runner_exposed" {
			finding.Command = "switchyard runner install --host 127.0.0.1"
			finding.Cure = func(ctx context.Context) error {
				return localrunner.Install(ctx, m, engine.Install{Host: "127.0.0.1"}, func(string) {})
			}
		}
		d.add(finding)
	}
	return d.sorted()
}

type doctor struct {
	machine  *machine.Machine
	findings []state.Finding
}

func (d *doctor) add(f state.Finding) {
	f.Fixable = f.Cure != nil
	f.Text, f.Remedy = d.machine.Tilde(f.Text), d.machine.Tilde(f.Remedy)
	d.findings = append(d.findings, f)
}

// sorted returns the findings, the worst first.
func (d *doctor) sorted() []state.Finding {
	slices.SortStableFunc(d.findings, func(a, b state.Finding) int { return a.Rank() - b.Rank() })
	return d.findings
}

// setUp checks the runner, the disk, Claude Code and proxies.
func (d *doctor) setUp(ctx context.Context) {
	if f, err := localrunner.Find(ctx, d.machine); err != nil {
		what, remedy := fault.Explain(err)
		d.add(state.Finding{Code: "configuration", Severity: state.SeverityError, Text: what, Remedy: remedy})
	} else {
		d.runner(ctx, f)
	}
	d.disk(ctx)
	d.claude(ctx)
	d.proxies()
}

// emptied names who holds the variables that stay "" after a switch to the cloud: the values
// of another launcher, or of a shell, lose against them.
func (d *doctor) emptied(targets []state.Target) {
	for _, t := range targets {
		if t.Waiting > 0 && len(t.Empty) > 0 {
			d.add(state.Finding{Code: "kept_empty", Severity: state.SeverityWarning, Remedy: "end what holds them, or set the variables in the file",
				Text: fmt.Sprintf("%s: %s kept at \"\" until %s (%s), so the values that a shell or another launcher sets have no effect", t.File, words.Some(t.Empty), words.Count(t.Waiting, "session ends", "sessions end"), t.Held())})
		}
	}
}

// disk checks for free space where models and Docker's images are stored.
func (d *doctor) disk(ctx context.Context) {
	said := map[string]bool{}
	for _, dir := range []string{filepath.Join(d.machine.Home, ".docker"), "/var/lib/docker", d.machine.Home} {
		usage, err := disk.UsageWithContext(ctx, dir)
		if err != nil || usage.Free >= diskLow || usage.Total == 0 {
			continue
		}
		if key := fmt.Sprint(usage.Total, usage.Free); !said[key] {
			said[key] = true
			d.add(state.Finding{Code: "disk_low", Severity: state.SeverityWarning, Text: fmt.Sprintf("only %s is free at %s: a model needs more", words.Size(int64(usage.Free)), dir),
				Remedy: "remove unused models", Command: "switchyard models prune"})
		}
	}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+`)

// claude checks that Claude Code is installed, starts, and is not too old.
func (d *doctor) claude(ctx context.Context) {
	const install = "npm install -g @anthropic-ai/claude-code"
	path := localclaude.Program(d.machine)
	if path == "" {
		d.add(state.Finding{Code: "claude_missing", Severity: state.SeverityError, Text: "Claude Code (claude) was not found", Remedy: "install it", Command: install})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env, cmd.Dir = d.machine.Environ, d.machine.Home
	out, err := cmd.Output()
	if version := versionNumber.FindString(string(out)); err == nil && version != "" && release.Older(version, oldestClaude) {
		d.add(state.Finding{Code: "claude_old", Severity: state.SeverityWarning, Text: "Claude Code " + version + " is older than " + oldestClaude + ", the oldest that Switchyard is tested with", Remedy: "update it", Command: "claude update"})
	} else if err != nil {
		d.add(state.Finding{Code: "claude_broken", Severity: state.SeverityError, Text: "Claude Code (" + path + ") does not start", Remedy: "see what it says", Command: "claude --version"})
	}
}

// proxies looks for one that would get the requests to this machine's own address.
// A switch to local completes NO_PROXY in Claude Code's settings; a shell with
// another proxy than Switchyard knows of is told here.
func (d *doctor) proxies() {
	proxy, proxied := d.machine.Scope("").Proxied()
	if !proxied {
		return
	}
	finding := state.Finding{Code: "proxy_local", Severity: state.SeverityWarning, Text: "the proxy of " + proxy.Name + " also gets Claude Code's requests to 127.0.0.1, because NO_PROXY does not list it; a switch to local corrects that in Claude Code's settings",
		Remedy: "correct it for all programs, where the proxy is set", Command: "export NO_PROXY=$NO_PROXY,localhost,127.0.0.1,::1"}
	if runtime.GOOS == "windows" {
		finding.Command = "setx NO_PROXY localhost,127.0.0.1,::1"
	}
	d.add(finding)
}
