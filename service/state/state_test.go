package state

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/gateway"
)

func codes(warnings []Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

func TestWhatFollowsFromTheRest(t *testing.T) {
	tiny := []Model{{Tag: "docker.io/ai/tiny:latest", ID: "sha256:aa"}}
	local := Target{Route: claude.Local, Model: "docker.io/ai/tiny:latest", Way: claude.Gateway}
	direct := Target{Route: claude.Local, Model: "docker.io/ai/tiny:latest", Way: claude.Direct}
	up, down := Runner{State: Running}, Runner{State: Stopped, Controlled: true}
	served := Gateway{URL: "http://127.0.0.1:1"}
	for _, tt := range []struct {
		name  string
		state State
		route claude.Route
		want  string
	}{
		{"nothing is known", State{}, claude.Cloud, ""},
		{"the cloud needs no runner", State{Runner: down, Targets: []Target{{Route: claude.Cloud}}}, claude.Cloud, ""},
		{"all is well", State{Runner: up, Models: tiny, Gateway: served, Targets: []Target{local}}, claude.Local, ""},
		{"the first target decides", State{Runner: up, Models: tiny, Targets: []Target{{Route: claude.Cloud}, direct}}, claude.Cloud, ""},
		{"no gateway", State{Runner: up, Models: tiny, Targets: []Target{local}}, claude.Local, "gateway_down"},
		{"no gateway for the second target", State{Runner: up, Targets: []Target{{Route: claude.Cloud}, local}}, claude.Cloud, "gateway_down"},
		{"without the gateway none is missed", State{Runner: up, Models: tiny, Targets: []Target{direct}}, claude.Local, ""},
		{"no runner", State{Runner: down, Models: tiny, Gateway: served, Targets: []Target{local}}, claude.Local, "runner_down"},
		{"a session of its own needs the runner too", State{Runner: down, Gateway: served, Runs: 1}, claude.Cloud, "runner_down"},
		{"a session of its own needs the gateway too", State{Runner: up, Runs: 1}, claude.Cloud, "gateway_down"},
		{"the model is gone", State{Runner: up, Gateway: served, Targets: []Target{local}}, claude.Local, "model_missing"},
		{"the model goes by its id", State{Runner: up, Models: tiny, Targets: []Target{{Route: claude.Local, Model: "sha256:aa"}}}, claude.Local, ""},
		{"a runner that is down has no list", State{Runner: down, Gateway: served, Targets: []Target{local}}, claude.Local, "runner_down"},
		{"open to the network", State{Runner: Runner{State: Running, Exposed: "0.0.0.0:12434", OpenOrigins: true}, Models: tiny, Gateway: served, Targets: []Target{local}}, claude.Local, "runner_exposed runner_open_origins"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.state.Derive(nil)
			if got.Route != tt.route || codes(got.Warnings) != tt.want {
				t.Errorf("%s, %+v", got.Route, got.Warnings)
			}
			for _, w := range got.Warnings {
				if w.Text == "" || w.Remedy == "" {
					t.Errorf("%+v", w)
				}
			}
		})
	}
	if got := (State{}).Derive([]Warning{{Code: "drift"}}); codes(got.Warnings) != "drift" {
		t.Errorf("the warnings given are lost: %+v", got.Warnings)
	}
}

func TestWhatClaudeCodeNeedsOfTheRunner(t *testing.T) {
	for _, tt := range []struct {
		state State
		want  Needs
	}{
		{State{Route: claude.Cloud}, Needs{}},
		{State{Route: claude.Cloud, Runs: 1}, Needs{Route: true}},
		{State{Route: claude.Local, Model: "x"}, Needs{Route: true, Model: "x"}},
		{State{Route: claude.Offline, Model: "x"}, Needs{Route: true, Model: "x"}},
	} {
		if got := tt.state.Needs(); got != tt.want {
			t.Errorf("%s, %d: %+v", tt.state.Route, tt.state.Runs, got)
		}
	}
}

func TestARunnersWarning(t *testing.T) {
	for _, tt := range []struct {
		name               string
		runner             Runner
		code, text, remedy string
	}{
		{"it runs", Runner{State: Running, Reason: "old"}, "", "", ""},
		{"it starts", Runner{State: Starting}, "", "", ""},
		{"a person stopped it", Runner{State: Stopped, ByPerson: true, Reason: "why"}, "runner_stopped", "which you stopped", "switchyard runner start; or go back"},
		{"somebody else's, at an address", Runner{State: Stopped, URL: "http://box:1"}, "runner_down", "does not answer at http://box:1", "or go back: switchyard cloud"},
		{"ours, at an address", Runner{State: Stopped, Controlled: true, URL: "http://box:1", Reason: "it was killed"}, "runner_down", "is not running: it was killed", "runner start"},
		{"there is none", Runner{State: Absent, Remedy: "install it"}, "runner_down", "is not running", "install it; or go back"},
		{"it does not work", Runner{State: RunnerFailed, Reason: "garbage", Remedy: "look"}, "runner_failed", "Model Runner does not work: garbage", "look; or go back"},
	} {
		w, ok := tt.runner.Warning()
		if ok != (tt.code != "") || w.Code != tt.code || !strings.Contains(w.Text, tt.text) || !strings.Contains(w.Remedy, tt.remedy) {
			t.Errorf("%s: %+v", tt.name, w)
		}
	}
}

func TestARunnersExposure(t *testing.T) {
	for _, tt := range []struct {
		name   string
		runner Runner
		want   string
	}{
		{"this machine's own", Runner{}, ""},
		{"open to the network", Runner{Exposed: "0.0.0.0:12434"}, "runner_exposed"},
		{"on another machine", Runner{Exposed: "http://box:12434", Engine: engine.Remote}, "runner_plain_http"},
		{"open to web pages", Runner{OpenOrigins: true}, "runner_open_origins"},
		{"open to all", Runner{Exposed: "0.0.0.0:12434", OpenOrigins: true}, "runner_exposed runner_open_origins"},
	} {
		got := tt.runner.Exposure()
		if codes(got) != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
		if tt.runner.Exposed != "" && !strings.Contains(got[0].Text, tt.runner.Exposed) {
			t.Errorf("%s: it does not say where: %s", tt.name, got[0].Text)
		}
	}
}

func TestAModelIsFoundByAnyOfItsNames(t *testing.T) {
	one := []Model{{Tag: "docker.io/ai/tiny:latest", ID: "sha256:aa"}}
	two := append(slices.Clone(one), Model{Tag: "docker.io/ai/large:7b", ID: "sha256:bb"})
	for _, tt := range []struct {
		models     []Model
		name, want string
	}{
		{two, "docker.io/ai/tiny:latest", "docker.io/ai/tiny:latest"},
		{two, "ai/tiny", "docker.io/ai/tiny:latest"},
		{two, "large:7b", "docker.io/ai/large:7b"},
		{two, "ai/none", ""},
		{one, "", "docker.io/ai/tiny:latest"},
		{two, "", ""},
		{nil, "", ""},
		{nil, "ai/tiny", ""},
	} {
		if got := Resolve(tt.models, tt.name); got != tt.want {
			t.Errorf("%q of %d: %q, want %q", tt.name, len(tt.models), got, tt.want)
		}
	}
}

func TestWhichPullsAreOver(t *testing.T) {
	for s, want := range map[PullState]bool{Queued: false, Pulling: false, Waiting: false, PullDone: true, PullFailed: true, Cancelled: true} {
		if s.Over() != want {
			t.Errorf("%s", s)
		}
	}
}

func TestAPullInALine(t *testing.T) {
	for _, tt := range []struct {
		pull Pull
		want string
	}{
		{Pull{State: Queued}, "ai/tiny  queued"},
		{Pull{State: Waiting, Why: "no network", Done: 1, Total: 2}, "ai/tiny  waiting: no network"},
		{Pull{State: Pulling}, "ai/tiny"},
		{Pull{State: Pulling, Done: 1 << 30, Total: 4 << 30, Left: 120}, "ai/tiny  25 %  2 min left"},
		{Pull{State: Pulling, Done: 1 << 30}, "ai/tiny  1.0 GiB"},
	} {
		tt.pull.Ref = "docker.io/ai/tiny:latest"
		if got := tt.pull.Text(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestWhatIsBadComesFirstAndForbidsTheDeparture(t *testing.T) {
	poor, bad := Finding{Code: "b", Severity: SeverityWarning}, Finding{Code: "a", Severity: SeverityError}
	if bad.Rank() >= poor.Rank() {
		t.Errorf("%d, %d", bad.Rank(), poor.Rank())
	}
	for _, tt := range []struct {
		found  []Finding
		failed error
		want   bool
	}{
		{nil, nil, true},
		{[]Finding{poor}, nil, true},
		{[]Finding{poor, bad}, nil, false},
		{nil, errors.New("no answer"), false},
	} {
		if got := Ready(tt.found, tt.failed); got != tt.want {
			t.Errorf("%+v, %v: %v", tt.found, tt.failed, got)
		}
	}
	cured := false
	bad.Cure = func(context.Context) error { cured = true; return nil }
	if err := bad.Fix(t.Context()); err != nil || !cured {
		t.Errorf("the cure was not tried: %v", err)
	}
}

func TestClaudeCodeIsNotToldMoreThanTheModelBears(t *testing.T) {
	s := State{Model: "x", Context: 65536}
	for _, tt := range []struct {
		tag         string
		has, expect int
	}{{"x", 0, 65536}, {"x", 131072, 65536}, {"x", 32768, 32768}, {"y", 131072, 131072}} {
		if got := s.LimitContext(gateway.Model{Tag: tt.tag, Context: tt.has}).Context; got != tt.expect {
			t.Errorf("%s with %d: %d", tt.tag, tt.has, got)
		}
	}
}

func TestWhatASwitchWouldTake(t *testing.T) {
	if (State{}).Usable() || !(State{Models: []Model{{}}}).Usable() || !(State{Chosen: "x"}).Usable() {
		t.Error("usable")
	}
	if got := (State{Chosen: "docker.io/ai/tiny:latest"}).Fallback(); got != "ai/tiny" {
		t.Errorf("%q", got)
	}
	if got := (State{}).Fallback(); got != "a local model" {
		t.Errorf("%q", got)
	}
}

func TestASessionIsNamedByItsFolder(t *testing.T) {
	if got := (Session{CWD: "/home/me/shop", PID: 7}).Name(); got != "shop" {
		t.Errorf("%q", got)
	}
	if got := (Session{PID: 7}).Name(); got != "process 7" {
		t.Errorf("%q", got)
	}
}

func TestAnEmptyListIsNoNull(t *testing.T) {
	if data, err := json.Marshal(List[int](nil)); err != nil || string(data) != "[]" {
		t.Errorf("%s, %v", data, err)
	}
	mine := []int{1, 2}
	if List(mine)[0] = 9; mine[0] != 1 {
		t.Error("it is not a copy")
	}
}
