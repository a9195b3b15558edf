package service

import (
	"log/slog"
	"sync"
	"testing"

	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/sessions"
	"github.com/switchyard-app/switchyard/service/settings"
	"github.com/switchyard-app/switchyard/service/state"
)

func TestTheEndOfATaskLeavesTheOthersWords(t *testing.T) {
	var k known
	begin := func(id int, text string) { k.tasks = append(k.tasks, task{id: id, text: text}) }
	says := func(when, want string) {
		t.Helper()
		if got := k.busy(); got != want {
			t.Errorf("%s it says %q, want %q", when, got, want)
		}
	}
	says("at rest", "")
	begin(1, "first")
	begin(2, "second")
	says("with two", "second")
	k.finish(2)
	says("after the second", "first")
	begin(3, "third")
	k.finish(1)
	says("after the first", "third")
	k.finish(1)
	k.finish(3)
	says("after all", "")
}

// The same through the loop: what is begun and ended there is in the State.
func TestTwoTasksAtATime(t *testing.T) {
	s, until := supervise(t, machineAt(t, "http://127.0.0.1:9"))
	until("the first look", func(s state.State) bool { return len(s.Targets) > 0 })
	long := s.startTask(t.Context(), "long")
	short := s.startTask(t.Context(), "short")
	until("the newer one", func(s state.State) bool { return s.Busy == "short" })
	short.end(t.Context())
	until("the older one again", func(s state.State) bool { return s.Busy == "long" })
	long.setText(t.Context(), "longer")
	until("its next words", func(s state.State) bool { return s.Busy == "longer" })
	long.end(t.Context())
	until("rest", func(s state.State) bool { return s.Busy == "" })
}

func TestAnOlderLookDoesNotReplaceANewerOne(t *testing.T) {
	var k known
	for _, look := range []struct {
		number     int
		tells, has string
	}{{1, "a", "a"}, {3, "c", "c"}, {2, "b", "c"}, {3, "d", "d"}, {4, "e", "e"}} {
		k.read(look.number, settings.Files{Chosen: look.tells}, sessions.Facts{Sessions: make([]sessions.Fact, look.number)})
		if k.files.Chosen != look.has || look.tells == look.has && len(k.sessions.Sessions) != look.number {
			t.Errorf("after look %d it has %q and %d sessions", look.number, k.files.Chosen, len(k.sessions.Sessions))
		}
	}
}

// Faces and the socket may ask while Run still begins: the race detector sees it.
func TestASupervisorMayBeAskedWhileItBegins(t *testing.T) {
	m := machineAt(t, "http://127.0.0.1:9")
	m.Paths.Runtime = socketFolder(t)
	s := NewSupervisor(m, slog.New(slog.DiscardHandler))
	s.Serve(door.ServeOptions{})
	end := make(chan struct{})
	var asking sync.WaitGroup
	for _, ask := range []func(){
		func() { _, _ = s.Pull(t.Context(), "127.0.0.1:9/ai/x") },
		func() { _, _, _ = s.Address(t.Context()) },
		func() { s.answering() },
		func() { s.State() },
		s.Refresh,
	} {
		asking.Go(func() {
			for {
				ask()
				select {
				case <-end:
					return
				default:
				}
			}
		})
	}
	until := follow(t, s.Subscribe())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	until("the gateway", func(s state.State) bool { return s.Gateway.URL != "" })
	close(end)
	asking.Wait()
	s.Quit()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
