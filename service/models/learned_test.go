package models

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/machine"
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
