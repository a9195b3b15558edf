package sessions

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/state"
)

// An episode begins when its condition is reached, and lasts while that is held; then it may
// begin again.
func TestEpisodes(t *testing.T) {
	e := Episodes{}
	var got strings.Builder
	for _, level := range []int{0, 3, 2, 3, 1, 2, 3} { // reached at 3, left at 1
		warnings, _ := e.Update([]condition{{episode: "x", reached: level >= 3, held: level >= 2, warning: state.Warning{Code: "x"}}})
		fmt.Fprint(&got, len(warnings))
	}
	if got.String() != "0111001" {
		t.Error(got.String())
	}
}

func TestSessionWarnings(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const x, y = "docker.io/ai/x:latest", "docker.io/ai/y:latest"
	current := func(slots int, models ...string) state.State {
		s := state.State{Route: claude.Local, Model: x, Context: 65536}
		for i, m := range models {
			id := fmt.Sprint(i)
			s.Sessions = append(s.Sessions, state.Session{SessionID: id, CWD: "/w/p" + id})
			s.Gateway.Sessions = append(s.Gateway.Sessions, gateway.Session{ID: id, Model: m, Requests: 1, Last: now.Add(-time.Minute)})
		}
		s.Gateway.Loads = []gateway.Load{{Model: x, Slots: slots}}
		return s
	}
	with := func(s state.State, change func(*state.State)) state.State { change(&s); return s }
	for _, tt := range []struct {
		name  string
		state state.State
		want  string // codes
		text  string
		again time.Duration
	}{
		{"as many as are served", current(2, x, x), "", "", 9 * time.Minute},
		{"one more", current(2, x, x, x), "sessions_crowded", "3 sessions share ai/x, which handles 2 at a time", 9 * time.Minute},
		{"of which one is gone", with(current(2, x, x, x), func(s *state.State) { s.Sessions = s.Sessions[:2] }), "", "", 9 * time.Minute},
		{"of which one is quiet", with(current(2, x, x, x), func(s *state.State) { s.Gateway.Sessions[2].Last = now.Add(-time.Hour) }), "", "", 9 * time.Minute},
		{"waiting a little", with(current(2, x), func(s *state.State) {
			s.Gateway.Loads[0].Waiting, s.Gateway.Loads[0].Oldest = 1, now.Add(-29*time.Second)
		}), "", "", time.Second},
		{"waiting long", with(current(2, x), func(s *state.State) {
			s.Gateway.Loads[0].Waiting, s.Gateway.Loads[0].Oldest = 2, now.Add(-30*time.Second)
		}), "queue_long", "2 requests wait for ai/x, the first for more than 30 s", 9 * time.Minute},
		{"nearly full", with(current(2, x), func(s *state.State) {
			s.Gateway.Sessions[0].NearlyFull, s.Gateway.Sessions[0].ContextUsedPct, s.Gateway.Sessions[0].Context = true, 91, 65536
		}), "context_full", "the session in p0 uses 91 % of its 64K tokens", 9 * time.Minute},
		{"two models", current(2, x, y), "two_models", "sessions need ai/x and ai/y, which are not in memory together", 9 * time.Minute},
		{"two models, both in memory", with(current(2, x, y), func(s *state.State) { s.Models = []state.Model{{Tag: x, Loaded: true}, {Tag: y, Loaded: true}} }), "", "", 9 * time.Minute},
		{"left behind", with(current(2), func(s *state.State) {
			s.Sessions = []state.Session{{CWD: "/w/api", Behind: true, Reason: "because", Remedy: "do"}, {CWD: "/w/b", Behind: true, Reason: "so"}}
		}), "sessions_behind", "2 sessions did not follow: api, b", 0},
		{"forbidden", with(current(2), func(s *state.State) { s.Sessions = []state.Session{{CWD: "/w/api", Forbidden: true, Remedy: "do"}} }), "cloud_forbidden", "the session in api uses the cloud, which is forbidden there", 0},
		{"left behind offline", with(current(2), func(s *state.State) {
			s.Route, s.Sessions = claude.Offline, []state.Session{{CWD: "/w/api", Behind: true, Reason: "because", Remedy: "do"}}
		}), "offline_leak", "the session in api did not follow: because", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			warnings, again := Episodes{}.Update(Conditions(tt.state, now))
			var codes []string
			for _, w := range warnings {
				codes = append(codes, w.Code)
				if !strings.HasPrefix(w.Text, tt.text) || w.Remedy == "" {
					t.Errorf("%+v", w)
				}
			}
			if got := strings.Join(codes, " "); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if (tt.again == 0) != again.IsZero() || tt.again != 0 && !again.Equal(now.Add(tt.again)) {
				t.Errorf("again in %s, want %s", again.Sub(now), tt.again)
			}
		})
	}
}
