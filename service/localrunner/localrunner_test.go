package localrunner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
)

// double is an engine of a kind that does nothing.
type double struct {
	engine.Engine
	kind engine.Kind
}

func (d double) Kind() engine.Kind { return d.kind }

func TestTheRunnerAsTheEngineAndItsAnswerSay(t *testing.T) {
	const at = "http://127.0.0.1:12434"
	silent := &runner.Error{Why: "nothing answers"}
	slow := &runner.Error{Why: "no answer in time", Err: context.DeadlineExceeded}
	strange := &runner.Error{Status: 200, Why: "the answer is not Model Runner's"}
	denied := &engine.Error{Code: engine.DockerDenied, Why: "Docker may not be asked", Remedy: "join its group"}
	for _, tt := range []struct {
		name           string
		seen           engine.Seen
		err            error
		want           state.RunnerState
		reason, remedy string
	}{
		{"it runs and answers", engine.Seen{State: engine.Running}, nil, state.Running, "", ""},
		{"it runs and is silent", engine.Seen{State: engine.Running}, silent, state.RunnerFailed, "it is running, but does not answer at " + at, "restart it: switchyard runner restart"},
		{"it runs and is slow", engine.Seen{State: engine.Running}, slow, state.RunnerFailed, "it is running, but does not answer at " + at, "restart it: switchyard runner restart"},
		{"it runs and something else answers", engine.Seen{State: engine.Running}, strange, state.RunnerFailed, "what answers at " + at + " is not Model Runner: the answer is not Model Runner's", "restart it: switchyard runner restart"},
		{"it is ending", engine.Seen{State: engine.Ending, Why: "it was killed"}, silent, state.Starting, "it was killed", ""},
		{"it has stopped", engine.Seen{State: engine.Stopped, Why: "it was killed"}, silent, state.Stopped, "it was killed", ""},
		{"it cannot be started", engine.Seen{State: engine.Stopped, Why: "it was killed", Problem: denied}, silent, state.Stopped, "Docker may not be asked", "join its group"},
		{"there is none", engine.Seen{State: engine.Absent, Problem: denied}, silent, state.Absent, "Docker may not be asked", "join its group"},
		{"nobody knows, and it answers", engine.Seen{Problem: denied}, nil, state.Running, "", ""},
		{"nobody knows, and nothing answers", engine.Seen{}, silent, state.Stopped, "nothing answers at " + at, "start Model Runner where it was started before"},
		{"what an address names", engine.Seen{Named: "MODEL_RUNNER_HOST"}, silent, state.Stopped, "nothing answers at " + at, "start Model Runner there, or correct MODEL_RUNNER_HOST, which names it"},
		{"nobody can tell, and nothing answers", engine.Seen{Problem: denied}, silent, state.Stopped, "Docker may not be asked", "join its group"},
		{"nobody knows, and something else answers", engine.Seen{}, strange, state.RunnerFailed, "what answers at " + at + " is not a working Model Runner (the answer is not Model Runner's)", "see what listens there"},
		{"nobody knows, and it hangs", engine.Seen{}, slow, state.RunnerFailed, "what answers at " + at + " is not a working Model Runner (no answer in time)", "see what listens there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.seen.URL = at
			got := Instance{double{kind: engine.Container}, tt.seen}.Describe(Status{Err: tt.err, Version: "v1"})
			if got.State != tt.want || got.Reason != tt.reason || got.Remedy != tt.remedy || got.URL != at || got.Engine != engine.Container {
				t.Errorf("%+v", got)
			}
			if (got.Version != "") != (tt.want == state.Running) {
				t.Errorf("its version is %q", got.Version)
			}
		})
	}
}

func TestWhatTheEngineSaysIsKept(t *testing.T) {
	now := time.Now()
	got := Instance{double{kind: engine.Desktop}, engine.Seen{State: engine.Running, Socket: "/s", URL: "http://x", Since: now, Controlled: true, Exposed: "0.0.0.0:1", OpenOrigins: true}}.Describe(Status{})
	if want := (state.Runner{State: state.Running, Engine: engine.Desktop, URL: "/s", Since: now, Controlled: true, Exposed: "0.0.0.0:1", OpenOrigins: true}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestHowARunnerIsBroughtUp(t *testing.T) {
	for _, tt := range []struct {
		seen engine.Seen
		want string
	}{
		{engine.Seen{}, "start Model Runner where it was started before"},
		{engine.Seen{Named: "runner in config.toml"}, "start Model Runner there, or correct runner in config.toml, which names it"},
		{engine.Seen{Named: "x", Controlled: true}, "start it: switchyard runner start"},
		{engine.Seen{Named: "x", Controlled: true, Problem: &engine.Error{Remedy: "install it"}}, "install it"},
	} {
		f := Instance{Seen: tt.seen}
		if got := f.Remedy(); got != tt.want {
			t.Errorf("%+v: %s", tt.seen, got)
		}
		if got := f.Endpoint().Start; got != tt.want {
			t.Errorf("its endpoint says %s", got)
		}
	}
}

func TestWhoIsAsked(t *testing.T) {
	for _, tt := range []struct {
		kind engine.Kind
		is   engine.State
		want bool
	}{
		{engine.Container, engine.Running, true}, {engine.Remote, engine.Unknown, true}, {engine.Container, engine.Stopped, false},
		{engine.Container, engine.Absent, false}, {engine.Container, engine.Ending, false}, {engine.None, engine.Unknown, false},
	} {
		if got := (Instance{double{kind: tt.kind}, engine.Seen{State: tt.is}}).MayAnswer(); got != tt.want {
			t.Errorf("%s, %q: %v", tt.kind, tt.is, got)
		}
	}
}

func TestSilentOrSlow(t *testing.T) {
	for _, tt := range []struct {
		err          error
		silent, slow bool
	}{
		{nil, false, false},
		{&runner.Error{Why: "nothing answers"}, true, false},
		{&runner.Error{Err: context.DeadlineExceeded}, false, true},
		{&runner.Error{Status: 500}, false, false},
		{errors.New("x"), false, false},
	} {
		if s := (Status{Err: tt.err}); s.Silent() != tt.silent || s.Slow() != tt.slow {
			t.Errorf("%v: %v %v", tt.err, s.Silent(), s.Slow())
		}
	}
}

func TestASocketsRemedy(t *testing.T) {
	for kind, port := range map[engine.Kind]bool{engine.Desktop: true, engine.Container: false} {
		got := SocketRemedy(Instance{Engine: double{kind: kind}})
		if !strings.HasPrefix(got, "start Switchyard") || strings.Contains(got, "--tcp 12434") != port {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

func TestAModelIsListedOnceForEachTag(t *testing.T) {
	got := Tagged([]runner.Model{{ID: "sha256:b", Tags: []string{"z", "a"}, Size: 5, Context: 7, Trained: 8, Quantization: "Q4"}, {ID: "sha256:a"}})
	want := []state.Model{
		{Tag: "a", ID: "sha256:b", Size: 5, Context: 7, Trained: 8, Quantization: "Q4"}, {Tag: "sha256:a", ID: "sha256:a"},
		{Tag: "z", ID: "sha256:b", Size: 5, Context: 7, Trained: 8, Quantization: "Q4"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Tagged(nil); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// listening is a loopback port that this process holds.
func listening(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestWhoHoldsAPort(t *testing.T) {
	m, port := &machine.Machine{}, listening(t)
	why, remedy := PortTaken(m, port)
	if !strings.HasPrefix(why, fmt.Sprintf("port %d is taken by %s (pid %d)", port, strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), os.Getpid())) {
		t.Errorf("%s", why)
	}
	rest, offered := strings.CutPrefix(remedy, "stop the program that uses it, or move Model Runner: switchyard runner install --port ")
	if free, err := strconv.Atoi(rest); !offered || err != nil || free <= port {
		t.Errorf("%s", remedy)
	}
	if !Listens(port) || FreePort(port) == port {
		t.Error("its port counts as free")
	}
	if got := FreePort(1 << 16); got != 0 {
		t.Errorf("behind the last one %d is free", got)
	}
	var e *fault.Error
	err := Explain(m, Start, &engine.Error{Code: engine.PortTaken, Why: "x", Remedy: "y", Port: port})
	if !errors.As(err, &e) || e.Kind != fault.Refused || e.What != "starting Model Runner" || e.Why != why {
		t.Errorf("%+v", err)
	}
}

func TestAnEnginesErrorInWords(t *testing.T) {
	m := &machine.Machine{}
	if err := Explain(m, Start, nil); err != nil {
		t.Errorf("%v", err)
	}
	for verb, want := range map[Verb]string{Start: "starting Model Runner", Stop: "stopping Model Runner", Restart: "restarting Model Runner", Nothing: "installing Model Runner"} {
		var e *fault.Error
		if err := Explain(m, verb, &engine.Error{Code: engine.DockerDown, Why: "why", Remedy: "do"}); !errors.As(err, &e) || e.What != want || e.Why != "why" || e.Kind != fault.Unreachable {
			t.Errorf("%+v", err)
		}
	}
}

func TestALookWithoutAnEngineSaysWhy(t *testing.T) {
	dir := t.TempDir()
	m := &machine.Machine{Home: dir, Paths: config.Paths{State: dir, Runtime: dir}, Config: config.Config{Engine: "steam"}}
	l := LookWith(t.Context(), m, nil, nil, false, "")
	r := l.Describe(l.Status)
	if r.State != state.Absent || r.Engine != engine.None || r.Reason != `unknown engine "steam"` || r.Remedy != "choose container, desktop or process" {
		t.Errorf("%+v", r)
	}
	var refused *fault.Error
	if _, err := Find(t.Context(), m); !errors.As(err, &refused) || refused.Kind != fault.Refused || refused.What != "finding Model Runner" {
		t.Errorf("%v", err)
	}
}
