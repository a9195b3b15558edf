package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	flight     = 24 * time.Hour // how long a login shall hold
	batteryLow = 30             // per cent
)

// DepartureRequest asks what would go wrong without a network.
type DepartureRequest struct {
	Folder  string // of the Claude Code that shall work there; empty: of none in particular
	Model   string // empty: the chosen one. A fix that makes another model puts its tag here
	Context int    // tokens that are wished for; 0: the model's own
	Failed  error  // what Check said; nil: the proofs hold
}

// Departure returns what would go wrong without a network, the worst first: what the
// set-up lacks, what would want to get out, and of the proofs that do not hold those
// that can be cured. Whether they hold is for Check to say.
func (y *Yard) Departure(ctx context.Context, r *DepartureRequest) []Finding {
	d := &doctor{y: y}
	d.cures(r)
	d.setUp(ctx)
	d.begun()
	d.login(time.Now())
	d.servers(r.Folder)
	d.helpers(r.Folder)
	d.older(ctx)
	d.tracking(ctx)
	d.battery("/sys/class/power_supply")
	return d.sorted()
}

// tracking names a runner that looks outwards by itself. One that Switchyard starts
// does not (DO_NOT_TRACK=1).
func (d *doctor) tracking(ctx context.Context) {
	f, err := d.y.find(ctx)
	if err != nil {
		return
	}
	finding := Finding{Code: "runner_tracks", Severity: Poor}
	switch {
	case f.engine.Kind() == engine.Container && f.seen.Tracks:
		finding.Text, finding.Remedy, finding.Command = "Model Runner's container tells Docker which models are used (no DO_NOT_TRACK=1)", "make it anew", "switchyard runner install"
		finding.fix = func(ctx context.Context) error { return d.y.Install(ctx, engine.Install{}, func(string) {}) }
	case f.engine.Kind() == engine.Desktop:
		finding.Text, finding.Remedy = "Docker Desktop may tell Docker which models are used", `switch off "Send usage statistics" in its settings`
	default:
		return
	}
	d.add(finding)
}

// Ready tells whether nothing bad was found, and the proofs hold.
func Ready(found []Finding, failed error) bool {
	return failed == nil && !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == Bad })
}

// cures are what makes a proof hold that does not.
func (d *doctor) cures(r *DepartureRequest) {
	var unknown *runner.UnknownModelError
	var proof *runner.ProofError
	switch {
	case errors.As(r.Failed, &unknown) && unknown.Name != "":
		d.add(Finding{Code: "proof_model", Severity: Bad, Text: unknown.Why(), Remedy: "pull it", Command: "switchyard pull " + unknown.Name,
			fix: func(ctx context.Context) error {
				_, err := d.y.Pull(ctx, unknown.Name, func(Pull) {})
				return err
			}})
	case errors.As(r.Failed, &proof) && proof.Proof.Name == "context":
		name, tokens := cmp.Or(r.Model, d.y.chosen()), max(r.Context, runner.MinContext)
		if name == "" {
			return
		}
		d.add(Finding{Code: "proof_context", Severity: Bad, Text: "the context is too small: " + proof.Proof.Detail, Remedy: "repackage it", Command: "switchyard context " + name + " " + words.Tokens(tokens),
			fix: func(ctx context.Context) error {
				made, _, err := d.y.Resize(ctx, name, tokens)
				if err == nil && r.Model == "" && d.y.Config.Model == "" {
					err = d.y.Choose(made)
				}
				if err == nil {
					r.Model = made
				}
				return err
			}})
	}
}

// own reads what Claude Code keeps for itself, beside its settings.
func (y *Yard) own() (file string, known struct {
	Onboarded bool                 `json:"hasCompletedOnboarding"`
	Servers   map[string]mcpServer `json:"mcpServers"`
	Projects  map[string]struct {
		Servers map[string]mcpServer `json:"mcpServers"`
	} `json:"projects"`
}) {
	file = filepath.Join(y.Home, ".claude.json")
	if y.getenv("CLAUDE_CONFIG_DIR") != "" {
		file = filepath.Join(y.configDir(), ".claude.json")
	}
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &known) // what is not there, or broken, says nothing
	}
	return file, known
}

// mcpServer is a server of tools that Claude Code starts or calls.
type mcpServer struct {
	URL     string   `json:"url"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

// fetchers are commands that may load what they run.
var fetchers = []string{"npx", "bunx", "pnpx", "uvx", "pipx", "docker", "podman", "deno"}

// outward says what a server wants of the network; empty: nothing that can be seen.
func (s mcpServer) outward() string {
	if u, err := url.Parse(s.URL); s.URL != "" && err == nil && !loopbackHost(u.Hostname()) {
		return "is at " + u.Hostname()
	}
	if name := strings.TrimSuffix(filepath.Base(s.Command), ".exe"); slices.Contains(fetchers, name) {
		return "is started by " + name + ", which may have to load it"
	}
	for _, arg := range s.Args {
		if u, err := url.Parse(arg); err == nil && u.Scheme != "" && strings.HasPrefix(u.Scheme, "http") && !loopbackHost(u.Hostname()) {
			return "talks to " + u.Hostname()
		}
	}
	return ""
}

// loopbackHost tells whether a host is this very machine, which stays when the network goes.
func loopbackHost(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}

// begun looks whether Claude Code's first start is over, which asks questions.
func (d *doctor) begun() {
	if file, known := d.y.own(); !known.Onboarded {
		d.add(Finding{Code: "claude_new", Severity: Bad, Text: "Claude Code was never started here (" + file + "): its first start asks questions", Remedy: "start it once and answer them (claude), or have the first start noted as over",
			Command: "set hasCompletedOnboarding in " + d.y.tilde(file), fix: func(context.Context) error { return claude.Onboard(file) }})
	}
}

// login looks whether Claude Code's own login holds: with an expired one it looks up
// platform.claude.com at its start, in the offline route too (measured with 2.1.330).
func (d *doctor) login(now time.Time) {
	var c struct {
		OAuth struct {
			Expires int64 `json:"expiresAt"`
		} `json:"claudeAiOauth"`
	}
	data, err := os.ReadFile(filepath.Join(d.y.configDir(), ".credentials.json"))
	if err != nil || json.Unmarshal(data, &c) != nil || c.OAuth.Expires == 0 {
		return // there is none, or the system keeps it
	}
	at := time.UnixMilli(c.OAuth.Expires)
	if at.After(now.Add(flight)) {
		return
	}
	text := "Claude Code's login ends " + words.Since(at, now)
	if at.Before(now) {
		text = "Claude Code's login has expired"
	}
	d.add(Finding{Code: "login_expired", Severity: Poor, Text: text + ": Claude Code then looks up platform.claude.com at its start", Remedy: "renew it while there is a network: start claude in the cloud, /login"})
}

// servers lists the MCP servers that want the network.
func (d *doctor) servers(folder string) {
	file, known := d.y.own()
	tell := func(where string, servers map[string]mcpServer) {
		for name, s := range servers {
			if why := s.outward(); why != "" {
				d.add(Finding{Code: "mcp_outward", Severity: Poor, Text: "the MCP server " + name + " (" + where + ") " + why, Remedy: "expect it to fail, or end it for the flight: /mcp in claude"})
			}
		}
	}
	tell(file, known.Servers)
	tell(file, known.Projects[folder].Servers)
	var shared struct {
		Servers map[string]mcpServer `json:"mcpServers"`
	}
	for _, file := range []string{filepath.Join(folder, ".mcp.json"), filepath.Join(d.y.Scope("").ManagedDir, "managed-mcp.json")} {
		shared.Servers = nil
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &shared) == nil {
			tell(file, shared.Servers)
		}
	}
}

var networkCommand = regexp.MustCompile(`\b(curl|wget|ssh|nc|npx|uvx)\b|https?://`)

// helpers lists the settings whose commands want the network: hooks, and what shows
// the status line or fetches keys.
func (d *doctor) helpers(folder string) {
	for _, file := range d.y.Scope(folder).Sources() {
		var settings map[string]any
		data, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(data, &settings) != nil {
			continue
		}
		tell := func(what string, setting any) {
			if text := fmt.Sprint(setting); networkCommand.MatchString(text) {
				d.add(Finding{Code: "hook_outward", Severity: Poor, Text: what + " in " + file + " wants the network (" + networkCommand.FindString(text) + ")", Remedy: "expect it to fail, or take it out for the flight"})
			}
		}
		if hooks, ok := settings["hooks"].(map[string]any); ok {
			for _, event := range slices.Sorted(maps.Keys(hooks)) {
				tell("the hook for "+event, hooks[event])
			}
		}
		for _, name := range []string{"statusLine", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper"} {
			if setting, there := settings[name]; there {
				tell(`"`+name+`"`, setting)
			}
		}
	}
}

// older lists the sessions that did not begin in the offline route.
func (d *doctor) older(ctx context.Context) {
	var names []string
	for _, one := range d.y.Sessions(ctx, false) {
		if one.Route != claude.Offline {
			names = append(names, one.Place())
		}
	}
	if len(names) > 0 {
		d.add(Finding{Code: "sessions_before", Severity: Poor, Text: words.Count(len(names), "session", "sessions") + " did not begin in the offline route and may look outwards: " + words.Some(names),
			Remedy: "after the switch end them and start them anew (claude --continue)"})
	}
}

// battery looks at a laptop's charge, where Linux tells it.
func (d *doctor) battery(dir string) {
	batteries, _ := filepath.Glob(filepath.Join(dir, "BAT*"))
	for _, b := range batteries {
		text := func(name string) string {
			data, _ := os.ReadFile(filepath.Join(b, name))
			return strings.TrimSpace(string(data))
		}
		charge, err := strconv.Atoi(text("capacity"))
		if err == nil && charge < batteryLow && text("status") == "Discharging" {
			d.add(Finding{Code: "battery_low", Severity: Poor, Text: fmt.Sprintf("the battery is at %d %%: a local model takes much of it", charge), Remedy: "charge it"})
		}
	}
}

// CheckDeparture runs the proofs and looks what would go wrong without a network. What
// it finds is in the State.
func (s *Supervisor) CheckDeparture(ctx context.Context) {
	s.checkDeparture(ctx, DepartureRequest{Model: s.State().Model})
}

func (s *Supervisor) checkDeparture(ctx context.Context, r DepartureRequest) {
	t := s.begin(ctx, checking)
	r.Failed = s.yard.Check(ctx, r.Model, r.Context, false, Progress{})
	s.depart(ctx, ctx, &r, true)
	t.end(ctx)
}

var checking = words.Key("Checking for the departure…")

// depart puts into the State what would go wrong without a network. tell says that a
// person shall hear of it; one is the context of what it is part of.
func (s *Supervisor) depart(ctx, one context.Context, r *DepartureRequest, tell bool) {
	t := s.begin(ctx, checking)
	found := s.yard.Departure(one, r)
	t.end(ctx)
	if one.Err() != nil {
		return // somebody wants something else
	}
	d := Departure{At: time.Now().Truncate(time.Second), Ready: Ready(found, r.Failed), Findings: []Finding{}}
	if r.Failed != nil {
		d.Failed, d.Remedy = why(r.Failed)
	}
	for _, f := range found {
		f.fix = nil // a State is compared, and functions cannot be
		d.Findings = append(d.Findings, f)
	}
	s.mu.Lock()
	s.departing, s.cures = r, found
	s.mu.Unlock()
	s.fact(ctx, func(k *known) {
		if d.N = k.leaving.N; tell {
			d.N++
		}
		k.leaving = d
	})
}

// CureDeparture does what cures a finding of the last check, and checks again.
func (s *Supervisor) CureDeparture(ctx context.Context, code string) {
	s.mu.Lock()
	r, cures := s.departing, s.cures
	s.mu.Unlock()
	i := slices.IndexFunc(cures, func(f Finding) bool { return f.Code == code && f.fix != nil })
	if i < 0 {
		return
	}
	t := s.begin(ctx, words.T("Doing it: %s", cures[i].Command))
	err := cures[i].Fix(ctx)
	t.end(ctx)
	if err != nil {
		s.failed(ctx, words.Key("Could not do it"), err)
		return
	}
	s.checkDeparture(ctx, *r)
}
