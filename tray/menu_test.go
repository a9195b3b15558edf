package tray

import (
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/state"
)

var (
	up     = state.Runner{State: state.Running, Engine: engine.Container, URL: "http://127.0.0.1:12434", Controlled: true}
	down   = state.Runner{State: state.Stopped, Engine: engine.Container, URL: "http://127.0.0.1:12434", Controlled: true}
	coder  = state.Model{Tag: "docker.io/ai/qwen3-coder:latest", Size: 17 << 30, Context: 262144}
	shop   = state.Session{PID: 7, CWD: "/home/me/shop", Route: claude.Local, Model: coder.Tag, ContextUsedPct: 42}
	behind = state.Session{PID: 8, CWD: "/home/me/api", Route: claude.Cloud, Behind: true, Reason: "its command line pins it (--settings)", Remedy: "end it, and start it without --settings"}
	gptOSS = state.Model{Tag: "docker.io/ai/gpt-oss:20b", Size: 11 << 30, Context: 131072}
	drift  = state.Warning{Code: "drift", Text: "settings.json: changed after the switch: X", Remedy: "switch again"}
)

// drawn is the menu as a person sees it: marks, indent, no hidden rows. Two long
// submenus have tests of their own.
func drawn(rows []menuRow, indent string) string {
	var b strings.Builder
	for _, r := range rows {
		switch {
		case r.Hidden:
			continue
		case r.Separator:
			b.WriteString(indent + "---\n")
			continue
		}
		mark := "  "
		if r.Checked {
			mark = "✓ "
		}
		b.WriteString(indent + mark + r.Title + "\n")
		if r.Title != "Pull a model" && !strings.HasPrefix(r.Title, "Context") {
			b.WriteString(drawn(r.Rows, indent+"    "))
		}
	}
	return b.String()
}

func TestMenu(t *testing.T) {
	tests := []struct {
		name  string
		state state.State
		want  string
	}{
		{"nothing known yet", state.State{Route: claude.Cloud}, `
  ● Cloud
---
✓ Cloud
  Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
      Model Runner is not running
  Context
  Sessions
      no Claude Code session is running
  Model Runner: looking…
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit
`},
		{"local", state.State{Route: claude.Local, Model: coder.Tag, Context: 65536, Runner: up, Models: []state.Model{gptOSS, coder}, Sessions: []state.Session{shop, behind}}, `
  ● Local · ai/qwen3-coder · 64K
  2 sessions
---
  Cloud
✓ Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
      ai/gpt-oss:20b · 11.0 GiB · 128K
    ✓ ai/qwen3-coder · 17.0 GiB · 256K
  Context: 64K
  Sessions: 1 cloud, 1 local  ⚠
      shop · local · ai/qwen3-coder · context 42 %
      ⚠ api · cloud
          its command line pins it (--settings)
          → end it, and start it without --settings
  Model Runner: running · port 12434
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit…
      Back to cloud, then quit
      Quit and stay local
`},
		{"through the gateway, with a queue", state.State{Route: claude.Local, Model: coder.Tag, Context: 65536, Runner: up, Models: []state.Model{coder}, Sessions: []state.Session{shop},
			Targets: []state.Target{{Way: claude.Gateway, Direct: "http://127.0.0.1:12434/anthropic"}},
			Gateway: state.Gateway{Snapshot: gateway.Snapshot{Running: 2, Waiting: 3, TokensPerS: 41.3}}}, `
  ● Local · ai/qwen3-coder · 64K
  1 session  ·  41 tok/s  ·  3 requests wait
---
  Cloud
✓ Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
    ✓ ai/qwen3-coder · 17.0 GiB · 256K
  Context: 64K
  Sessions: 1 local
      shop · local · ai/qwen3-coder · context 42 %
  Model Runner: running · port 12434
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit…
      Back to cloud, then quit
      Quit and stay local, without the gateway
`},
		{"a runner that only the gateway reaches", state.State{Route: claude.Local, Runner: up, Models: []state.Model{coder}, Targets: []state.Target{{Way: claude.Gateway}}}, `
  ● Local
  no sessions
---
  Cloud
✓ Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
    ✓ ai/qwen3-coder · 17.0 GiB · 256K
  Context
  Sessions
      no Claude Code session is running
  Model Runner: running · port 12434
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit…
      Back to cloud, then quit
`},
		{"cloud with a chosen model, waiting", state.State{Route: claude.Cloud, Chosen: "gpt-oss:20b", Runner: up, Models: []state.Model{gptOSS, coder},
			Targets: []state.Target{{Waiting: 1}}}, `
  ● Cloud
  settings will be restored when 1 session ends
---
✓ Cloud
  Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
    ✓ ai/gpt-oss:20b · 11.0 GiB · 128K
      ai/qwen3-coder · 17.0 GiB · 256K
  Context
  Sessions
      no Claude Code session is running
  Model Runner: running · port 12434
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit
`},
		{"the configuration forbids the cloud", state.State{Route: claude.Local, Locked: true, Runner: down, Sessions: []state.Session{{CWD: "/home/me/api", Route: claude.Cloud, Forbidden: true, Reason: "the folder forbids it", Remedy: "end it"}}}, `
  ● Local
  1 session
---
  Cloud: not allowed by the configuration
✓ Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
      Model Runner is not running
  Context
  Sessions: 1 cloud  ⚠
      ⚠ api · cloud
          the folder forbids it
          → end it
  Model Runner: stopped
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit…
      Quit and stay local
`},
		{"busy hides the warning", state.State{Route: claude.Offline, Busy: "Loading the model…", Runner: down, Warnings: []state.Warning{drift}}, `
  Loading the model…
  no sessions
---
  Cloud…
      End offline: Claude Code talks to Anthropic again
  Local
✓ Offline
  Departure check
      Check now
---
  Model
      Pull a model
      Model Runner is not running
  Context
  Sessions
      no Claude Code session is running
  Model Runner: stopped
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit…
      Back to cloud, then quit
      Quit and stay offline
`},
		{"a warning takes the line", state.State{Route: claude.Cloud, Runner: up, Warnings: []state.Warning{drift}}, `
  ⚠ settings.json: changed after the switch: X
  → switch again
---
✓ Cloud
  Local
  Offline
  Departure check
      Check now
---
  Model
      Pull a model
      no models yet
  Context
  Sessions
      no Claude Code session is running
  Model Runner: running · port 12434
      Start
      Stop
      Restart
      Open its log
---
  Settings
      Start at login
    ✓ Notifications
      Lean profile for new local sessions
      Open the configuration
  Switchyard
  Quit
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := "\n" + drawn(menuFor(tt.state), ""); got != tt.want {
				t.Errorf("got%s\nwant%s", got, tt.want)
			}
		})
	}
}

func TestPullsInTheMenu(t *testing.T) {
	s := state.State{Route: claude.Cloud, Runner: up, Models: []state.Model{coder}, Pulls: []state.Pull{
		{Ref: "ai/old", State: state.PullDone, N: 1},
		{Ref: "ai/gpt-oss", State: state.Pulling, Done: 43, Total: 100, Left: 240, N: 2},
		{Ref: "ai/theirs", State: state.Pulling, Done: 3 << 30, Others: true, N: 3},
		{Ref: "hf.co/x/y", State: state.Waiting, Why: "its registry cannot be reached", N: 4},
	}}
	if got := pullsLine(s); got != "Pulling ai/gpt-oss  43 %  4 min left  and 2 more" {
		t.Errorf("%q", got)
	}
	want := `  click to cancel; the next pull resumes
  ✕ ai/gpt-oss  43 %  4 min left
  ai/theirs  3.0 GiB  (not by Switchyard)
  ✕ huggingface.co/x/y  waiting: its registry cannot be reached
`
	if got := drawn(pullRows(s), ""); got != want {
		t.Errorf("got\n%s", got)
	}
	for _, r := range suggestionRows(s) {
		if there := strings.HasPrefix(r.Title, "ai/qwen3-coder") || strings.HasPrefix(r.Title, "ai/gpt-oss"); there != r.Disabled && r.Action.Do == pullModel {
			t.Errorf("%q is disabled: %t", r.Title, r.Disabled)
		}
	}
}

func TestTheGPUInTheMenu(t *testing.T) {
	big, small := coder, gptOSS
	big.Fit, small.Fit = gpu.TooBig, gpu.Fits
	s := state.State{Route: claude.Local, Runner: up, Models: []state.Model{big, small}, Sessions: make([]state.Session, 1),
		VRAM: state.VRAM{Devices: []gpu.Device{{Total: 24 << 30, Free: 6 << 30}}}}
	if got := secondLine(s); got != "GPU 18.0 / 24 GiB  ·  1 session" {
		t.Errorf("%q", got)
	}
	rows := modelRows(s)
	if got := rows[2].Title + ", " + rows[3].Title; got != "ai/qwen3-coder · 17.0 GiB · 256K · too big, ai/gpt-oss:20b · 11.0 GiB · 128K · fits" {
		t.Errorf("%q", got)
	}
	s.VRAM.Devices[0].Free = -1
	if got := secondLine(s); got != "1 session" {
		t.Errorf("what is not known is told: %q", got)
	}
}

func TestGauge(t *testing.T) {
	for _, tt := range []struct {
		route claude.Route
		free  int64
		want  assets.Gauge
	}{{claude.Local, 24, 1}, {claude.Local, 19, 1}, {claude.Local, 18, 2}, {claude.Offline, 12, 3}, {claude.Local, 6, 4}, {claude.Local, 0, 4}, {claude.Local, -1, 0}, {claude.Cloud, 12, 0}} {
		free := tt.free
		if free > 0 {
			free <<= 30
		}
		if got := gaugeFor(state.State{Route: tt.route, VRAM: state.VRAM{Devices: []gpu.Device{{Total: 24 << 30, Free: free}}}}); got != tt.want {
			t.Errorf("%s with %d free: %d, want %d", tt.route, tt.free, got, tt.want)
		}
	}
}

func TestContextsInTheMenu(t *testing.T) {
	s := state.State{Route: claude.Local, Model: coder.Tag, Context: 65536, Contexts: []state.ContextFit{
		{Context: 32768, Need: 19 << 30, Fit: gpu.Fits}, {Context: 65536, Need: 23 << 30, Fit: gpu.Tight}, {Context: 98304, Need: 26 << 30, Fit: gpu.TooBig}, {Context: 131072, Fit: gpu.Unknown}}}
	want := "Context: 64K\n  32K · 19.0 GiB · fits\n✓ 64K · 23.0 GiB · tight\n  96K · 26.0 GiB · too big\n  128K\n"
	if got := contextLine(s) + "\n" + drawn(contextRows(s), ""); got != want {
		t.Errorf("%q", got)
	}
	if row := contextRows(s)[3]; row.Action != (action{Do: resizeModel, Model: coder.Tag, Context: 131072}) || row.Disabled {
		t.Errorf("%+v", row)
	}
	if rows := contextRows(state.State{Route: claude.Cloud}); !rows[0].Disabled {
		t.Error("in the cloud there is nothing to resize")
	}
}

func TestTheRunnersRow(t *testing.T) {
	since := time.Date(2020, 5, 17, 9, 30, 0, 0, time.Local)
	tests := []struct {
		runner state.Runner
		title  string
		can    string // what can be clicked
	}{
		{state.Runner{}, "Model Runner: looking…", ""},
		{up, "Model Runner: running · port 12434", "Stop Restart log"},
		{state.Runner{State: state.Running, Since: since, URL: "http://127.0.0.1:12999", Controlled: true}, "Model Runner: running since 17 May 09:30 · port 12999", "Stop Restart log"},
		{state.Runner{State: state.Running, URL: "/run/user/1000/switchyard/runner.sock", Controlled: true}, "Model Runner: running", "Stop Restart log"},
		{state.Runner{State: state.Running, URL: "http://box:12434"}, "Model Runner: running · box:12434", "log"},
		{state.Runner{State: state.Starting, Doing: "restarting…", Controlled: true}, "Model Runner: restarting…", "Stop Restart log"},
		{down, "Model Runner: stopped", "Start log"},
		{state.Runner{State: state.Stopped, ByPerson: true, Controlled: true}, "Model Runner: stopped by you", "Start log"},
		{state.Runner{State: state.Stopped, Doing: "stopping…", Controlled: true}, "Model Runner: stopping…", "log"},
		{state.Runner{State: state.RunnerFailed, Reason: "it ended 5 times in ten minutes", Controlled: true}, "Model Runner: not working", "Start Stop Restart log"},
		{state.Runner{State: state.Absent, Reason: "Model Runner is not installed in Docker", Controlled: true}, "Model Runner: not found", "Start"},
	}
	for _, tt := range tests {
		title, rows := runnerLine(tt.runner), runnerRows(tt.runner)
		var can []string
		for _, r := range rows[1:] {
			if !r.Disabled {
				can = append(can, strings.TrimPrefix(r.Title, "Open its "))
			}
		}
		if title != tt.title || strings.Join(can, " ") != tt.can || rows[0].Hidden != (tt.runner.Reason == "") {
			t.Errorf("%q %q, want %q %q", title, can, tt.title, tt.can)
		}
	}
}

// The library cannot insert rows, so the places of the top level never change.
func TestTheMenusShapeNeverChanges(t *testing.T) {
	shape := func(s state.State) (out string) {
		for _, r := range menuFor(s) {
			switch {
			case r.Separator:
				out += "-"
			case r.Checkable:
				out += "o"
			case len(r.Rows) > 0:
				out += ">"
			default:
				out += "."
			}
		}
		return out
	}
	first := shape(state.State{})
	for _, s := range []state.State{
		{Route: claude.Local, Runner: up, Models: []state.Model{coder}},
		{Route: claude.Cloud, Busy: "x", Warnings: []state.Warning{drift}},
		{Route: claude.Offline, Sessions: make([]state.Session, 9)},
	} {
		if got := shape(s); got != first {
			t.Errorf("shape %s, was %s", got, first)
		}
	}
}

func TestIcon(t *testing.T) {
	tests := []struct {
		state state.State
		glyph assets.Glyph
		badge assets.Badge
	}{
		{state.State{Route: claude.Cloud}, assets.Cloud, assets.NoBadge},
		{state.State{Route: claude.Cloud, Runner: down}, assets.Cloud, assets.NoBadge},
		{state.State{Route: claude.Local, Runner: up}, assets.Chip, assets.NoBadge},
		{state.State{Route: claude.Offline, Runner: up}, assets.Airport, assets.NoBadge},
		{state.State{Route: claude.Local, Runner: down, Warnings: []state.Warning{drift}}, assets.Chip, assets.Error},
		{state.State{Route: claude.Local, Runner: up, Warnings: []state.Warning{drift}}, assets.Chip, assets.Warning},
		{state.State{Route: claude.Cloud, Busy: "x", Warnings: []state.Warning{drift}}, assets.Cloud, assets.Busy},
	}
	for _, tt := range tests {
		if glyph, badge := iconFor(tt.state); glyph != tt.glyph || badge != tt.badge {
			t.Errorf("%+v: %d/%d, want %d/%d", tt.state, glyph, badge, tt.glyph, tt.badge)
		}
	}
}

func TestNotices(t *testing.T) {
	unfit := []state.Warning{{Code: "model_no_tools", Text: "x calls no tools", Remedy: "choose another"}}
	session := func(used float64, told bool) state.State {
		return state.State{Sessions: []state.Session{{SessionID: "s1", CWD: "/home/me/shop"}},
			Gateway: state.Gateway{Snapshot: gateway.Snapshot{Sessions: []gateway.Session{{ID: "s1", ContextUsedPct: used, Context: 65536, NearlyFull: told}}}}}
	}
	pulled := func(current state.PullState, updated bool) state.State {
		return state.State{Pulls: []state.Pull{{Ref: "ai/x:latest", State: current, Updated: updated, N: 7}}}
	}
	left := func(text string) state.State {
		return state.State{Warnings: []state.Warning{{Code: "sessions_behind", Text: text}}}
	}
	failed := state.State{Failures: []state.Failure{{N: 1, Title: "Could not switch to local", Text: "why. what."}}}
	tests := []struct {
		name          string
		before, after state.State
		want          string
	}{
		{"nothing", state.State{}, state.State{}, ""},
		{"a failure", state.State{}, failed, "Could not switch to local"},
		{"the same failure is told once", failed, failed, ""},
		{"a session that did not follow", state.State{}, left("a session did not follow: api"), "Not every session followed"},
		{"a session in the cloud where it is forbidden", state.State{}, state.State{Warnings: []state.Warning{{Code: "cloud_forbidden"}}}, "A session is in the cloud"},
		{"is told once for a switch, whatever the number", left("a session did not follow: api"), left("2 sessions did not follow"), ""},
		{"the next one again", failed, state.State{Failures: []state.Failure{failed.Failures[0], {N: 2, Title: "again"}}}, "again"},
		{"two at once", state.State{}, state.State{Failures: []state.Failure{failed.Failures[0], {N: 2, Title: "again"}}}, "Could not switch to local;again"},
		{"drift", state.State{}, state.State{Warnings: []state.Warning{drift}}, "Settings were changed"},
		{"a model that turns out to call no tools", state.State{Model: "x"}, state.State{Model: "x", Warnings: unfit}, "The model calls no tools"},
		{"a model that was chosen all the same", state.State{Model: "y"}, state.State{Model: "x", Warnings: unfit}, ""},
		{"drift stays", state.State{Warnings: []state.Warning{drift}}, state.State{Warnings: []state.Warning{drift}}, ""},
		{"a context that fills", session(84, false), session(86, true), "A session's context is nearly full"},
		{"a full context is told once", session(86, true), session(97, true), ""},
		{"also after it was compacted", session(20, true), session(90, true), ""},
		{"a load that may fail", state.State{}, state.State{Doubt: drift}, "It may not fit"},
		{"it is told once", state.State{Doubt: drift}, state.State{Doubt: drift}, ""},
		{"a pull begins", state.State{}, pulled(state.Pulling, false), ""},
		{"a pull ends", pulled(state.Pulling, false), pulled(state.PullDone, false), "Model ready"},
		{"a pull that had ended", pulled(state.PullDone, false), pulled(state.PullDone, false), ""},
		{"an update", pulled(state.Pulling, true), pulled(state.PullDone, true), "Model updated"},
		{"a failed pull", pulled(state.Waiting, false), pulled(state.PullFailed, false), "Pull failed"},
		{"a cancelled pull", pulled(state.Queued, false), pulled(state.Cancelled, false), "Pull cancelled"},
		{"a warning that can wait", state.State{}, state.State{Warnings: []state.Warning{{Code: "model_pinned"}}}, ""},
	}
	for _, tt := range tests {
		var got []string
		for _, n := range noticesOf(tt.before, tt.after) {
			got = append(got, n.Title)
		}
		if strings.Join(got, ";") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	told := noticesOf(session(84, false), session(86.4, true))
	if want := "The session in shop uses 86 % of its 64K tokens.\n→ run /compact in it, or start a new one"; len(told) != 1 || told[0].Text != want {
		t.Errorf("told %v, want %q", told, want)
	}
}
