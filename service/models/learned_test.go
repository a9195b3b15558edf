package models

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
)

const learners, lessons = 4, 25

// learnMuch learns of models of one's own.
func learnMuch(state, who string) {
	m := &machine.Machine{Paths: config.Paths{State: state}}
	for i := range lessons {
		Learn(m, fmt.Sprintf("sha256:%s-%d", who, i), func(l *Learned) { l.Used = time.Now() })
	}
}

func TestNothingThatSeveralLearnAtATimeIsLost(t *testing.T) {
	state := t.TempDir()
	var all sync.WaitGroup
	for n := range learners {
		all.Go(func() { learnMuch(state, fmt.Sprint(n)) })
	}
	all.Wait()
	if got := learned(&machine.Machine{Paths: config.Paths{State: state}}); len(got) != learners*lessons {
		t.Errorf("%d of %d are known", len(got), learners*lessons)
	}
}

// The tray and commands are processes of their own.
func TestNothingThatSeveralProcessesLearnIsLost(t *testing.T) {
	if dir := os.Getenv("TEST_LEARN"); dir != "" {
		learnMuch(dir, fmt.Sprint(os.Getpid()))
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	var all []*exec.Cmd
	for range learners {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "TEST_LEARN="+state)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if got := learned(&machine.Machine{Paths: config.Paths{State: state}}); len(got) != learners*lessons {
		t.Errorf("%d of %d are known", len(got), learners*lessons)
	}
	left, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		if !strings.HasPrefix(file.Name(), "models.json") {
			t.Errorf("%s is left", file.Name())
		}
	}
}

func TestLessonsAreKeptForABuildOfTheEngine(t *testing.T) {
	m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
	needs := func(build string) shape.Needs { return Needs(m, "sha256:a", build, shape.Needs{ShortIDs: true}) }
	if !LearnLesson(m, "sha256:a", "b1", shape.LooseSchemas) || LearnLesson(m, "sha256:a", "b1", shape.LooseSchemas) || !LearnLesson(m, "sha256:a", "", shape.Blind) {
		t.Error("new lessons")
	}
	for _, tt := range []struct {
		build string
		want  bool
	}{{"b1", true}, {"", true}, {"b2", false}} {
		if n := needs(tt.build); n.LooseSchemas != tt.want || n.Blind != tt.want || !n.ShortIDs {
			t.Errorf("%q: %+v", tt.build, n)
		}
	}
	if LearnLesson(m, "sha256:c", "", shape.Blind) || Needs(m, "sha256:c", "b1", shape.Needs{}).Blind {
		t.Error("a lesson of no build is kept, and nothing would end it")
	}
	if n := Needs(m, "sha256:b", "b1", shape.Needs{}); n.LooseSchemas {
		t.Errorf("another model: %+v", n)
	}
	LearnLesson(m, "sha256:a", "b2", shape.OneCall)
	if n := needs("b2"); n.LooseSchemas || n.Blind || !n.OneCall {
		t.Errorf("the next build: %+v", n)
	}
}

func TestWhatTheProofsTeach(t *testing.T) {
	proofs := func(fails ...string) (all []runner.Proof) {
		for _, name := range runner.Proofs() {
			all = append(all, runner.Proof{Name: name, OK: !slices.Contains(fails, name), Remedy: "choose another"})
		}
		return all
	}
	known := append(proofs()[:5], proofs()[len(proofs())-1]) // the conversations left out
	for _, tt := range []struct {
		name    string
		through bool
		proofs  []runner.Proof
		tools   string
		proven  bool
	}{
		{"all hold", true, proofs(), "true", true},
		{"directly", false, proofs(), "true", false},
		{"no tool call", true, proofs("tool_call"), "false", true},
		{"one conversation", true, proofs("two_calls"), "true", false},
		{"it stopped before", true, proofs()[:3], "", false},
		{"the conversations were left out", true, known, "true", false},
		{"no answer", true, []runner.Proof{{Name: "tool_call", Err: errors.New("gone")}}, "", false},
	} {
		m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
		LearnFrom(m, runner.Model{ID: "sha256:a"}, "b1", tt.through, tt.proofs)
		tools := ""
		if l := learned(m)["sha256:a"]; l.Tools != nil {
			tools = fmt.Sprint(*l.Tools)
		}
		if tools != tt.tools || Proven(m, "sha256:a", "b1") != tt.proven || Proven(m, "sha256:a", "b2") || Proven(m, "sha256:a", "") {
			t.Errorf("%s: tools %q, %+v", tt.name, tools, learned(m))
		}
		LearnFrom(m, runner.Model{ID: "sha256:a"}, "b1", true, known)
		if Proven(m, "sha256:a", "b1") != tt.proven {
			t.Errorf("%s: what was left out changed it", tt.name)
		}
	}
}

// A refusal may teach too much: that a model calls tools is seen in the end.
func TestAProofOverrulesALesson(t *testing.T) {
	m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
	call, result := runner.Proof{Name: "tool_call", OK: true}, runner.Proof{Name: "tool_result", OK: true}
	for _, tt := range []struct {
		name    string
		through bool
		proofs  []runner.Proof
		want    bool
	}{
		{"nothing proven", true, nil, true},
		{"it calls, but takes no result", false, []runner.Proof{call}, true},
		{"it calls and takes results", false, []runner.Proof{result, call}, false},
		{"it calls through the gateway, which knows the lesson", true, []runner.Proof{call}, false},
	} {
		LearnLesson(m, "sha256:a", "b1", shape.NoTools)
		LearnFrom(m, runner.Model{ID: "sha256:a"}, "b1", tt.through, tt.proofs)
		if n := Needs(m, "sha256:a", "b1", shape.Needs{}); n.NoTools != tt.want {
			t.Errorf("%s: %+v", tt.name, n)
		}
	}
}

// A model that comes with another template than that in its file is taken at its deeds.
func TestAModelThatCallsToolsIsBelieved(t *testing.T) {
	m := &machine.Machine{Paths: config.Paths{State: t.TempDir()}}
	for _, tt := range []struct {
		calls, want bool
	}{{true, false}, {false, true}} {
		Learn(m, "sha256:a", func(l *Learned) { l.Tools = &tt.calls })
		if fresh := LearnLesson(m, "sha256:a", "b1", shape.NoTools); fresh == tt.calls {
			t.Errorf("%+v: a refusal taught %v", tt, fresh)
		}
		if n := Needs(m, "sha256:a", "b1", shape.Needs{NoTools: true}); n.NoTools != tt.want {
			t.Errorf("%+v: %+v", tt, n)
		}
	}
}
