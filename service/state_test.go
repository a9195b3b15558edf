package service

import (
	"testing"

	"switchyard/service/claude"
	"switchyard/service/gateway"
)

func TestSessionsThatCrowd(t *testing.T) {
	state := func(context int, asking ...string) State {
		s := State{Route: claude.Local, Model: "docker.io/ai/x:latest", Context: context, Sessions: []Session{{SessionID: "a"}, {SessionID: "b"}, {SessionID: "c"}}}
		for _, id := range asking {
			s.Gateway.Snapshot.Sessions = append(s.Gateway.Snapshot.Sessions, gateway.Session{ID: id, Requests: 1})
		}
		return s
	}
	for _, tt := range []struct {
		state State
		want  string
	}{
		{state(65536, "a", "b"), ""},
		{state(65536, "a", "b", "c"), "3 sessions share a context of 64K: they wait for each other"},
		{state(32768, "a"), ""},
		{state(32768, "a", "gone"), ""},
		{state(32768, "a", "b"), "2 sessions share a context of 32K: they wait for each other"},
		{state(0, "a", "b", "c"), ""},
	} {
		if w, _ := tt.state.crowded(); w.Text != tt.want {
			t.Errorf("%q, want %q", w.Text, tt.want)
		}
	}
	if w, _ := state(65536, "a", "b", "c").crowded(); w.Remedy != "end some, or take a larger context: switchyard context ai/x 96K" {
		t.Errorf("%q", w.Remedy)
	}
}
