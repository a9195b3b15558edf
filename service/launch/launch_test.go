//go:build unix

package launch

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/sessions"
)

// scratch is a machine with a Claude Code, whose runner does not answer.
func scratch(t *testing.T, environ ...string) *machine.Machine {
	t.Helper()
	home := t.TempDir()
	m, err := machine.Open(config.Paths{Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run")},
		home, append([]string{"MODEL_RUNNER_HOST=http://127.0.0.1:1"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	m.Config.ManagedSettings = filepath.Join(home, "managed")
	write(t, filepath.Join(home, ".local", "bin", "claude"), "#!/bin/sh\n")
	return m
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o700)); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Refused || e.What != whatRun || !strings.Contains(e.Why, want) || e.Remedy == "" {
		t.Errorf("it was not refused for %q: %v", want, err)
	}
}

func TestOneSettingsArgumentIsLeft(t *testing.T) {
	m := scratch(t)
	write(t, filepath.Join(m.Home, "s.json"), `{"from":"file"}`)
	for _, tt := range []struct {
		name, args     string
		settings, rest string
	}{
		{"none", "-p hello", "", "-p hello"},
		{"in place", `--settings {"a":1} -p`, `{"a":1}`, "-p"},
		{"joined", `-p --settings={"a":1}`, `{"a":1}`, "-p"},
		{"a file of the folder", "--settings s.json -p", `{"from":"file"}`, "-p"},
		{"the last one counts", `--settings {"a":1} --settings={"b":2} x`, `{"b":2}`, "x"},
		{"what follows -- is the prompt", `--settings {"a":1} -- --settings x`, `{"a":1}`, "-- --settings x"},
		{"only behind --", "-- --settings x", "", "-- --settings x"},
	} {
		settings, rest, err := ownSettings(m, Request{Folder: m.Home, Args: strings.Fields(tt.args)})
		if err != nil || string(settings) != tt.settings || strings.Join(rest, " ") != tt.rest {
			t.Errorf("%s: %s %v %v", tt.name, settings, rest, err)
		}
	}
	_, _, err := ownSettings(m, Request{Folder: m.Home, Args: []string{"--settings", "none.json"}})
	refused(t, err, "none.json")
}

func TestWhatIsRefusedBeforeASessionStarts(t *testing.T) {
	offline := func(t *testing.T) *machine.Machine {
		m := scratch(t)
		to := claude.Destination{BaseURL: "http://127.0.0.1:9", Token: machine.DummyToken, Model: "x", Context: 65536, Way: claude.Direct}
		if err := os.MkdirAll(m.ConfigDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Ledger.Switch(t.Context(), m.Targets()[0], claude.Offline, to, nil); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tt := range []struct {
		name    string
		machine func(*testing.T) *machine.Machine
		request Request
		want    string
	}{
		{"there is no Claude Code", func(t *testing.T) *machine.Machine {
			m := scratch(t)
			return &machine.Machine{Home: filepath.Join(m.Home, "else"), Paths: m.Paths, Ledger: m.Ledger}
		}, Request{}, "Claude Code (claude) was not found"},
		{"it starts itself", func(t *testing.T) *machine.Machine { return scratch(t, runVariable+"=5") }, Request{}, "keeps starting switchyard run"},
		{"the cloud is forbidden", func(t *testing.T) *machine.Machine {
			m := scratch(t)
			m.Config.Cloud = config.Never
			return m
		}, Request{Cloud: true}, "forbids the cloud"},
		{"the route is offline", offline, Request{Cloud: true}, "the route is offline"},
		{"a flag leads to Anthropic's cloud", func(t *testing.T) *machine.Machine { return scratch(t) }, Request{Args: []string{"--cloud", "fix it"}}, "--cloud connects the session to Anthropic's cloud"},
		{"its settings are missing", func(t *testing.T) *machine.Machine { return scratch(t) }, Request{Cloud: true, Args: []string{"--settings", "/nowhere"}}, "--settings cannot be read"},
		{"its settings are broken", func(t *testing.T) *machine.Machine { return scratch(t) }, Request{Cloud: true, Args: []string{"--settings", "{"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.machine(t)
			tt.request.Folder = m.Home
			_, err := Prepare(t.Context(), m, tt.request, localrunner.Progress{})
			refused(t, err, tt.want)
		})
	}
}

func TestASessionInTheCloudKnowsHowDeepItIs(t *testing.T) {
	m := scratch(t, runVariable+"=1", "A=b")
	s, err := Prepare(t.Context(), m, Request{Cloud: true, Folder: m.Home, Args: []string{"-p", "hello"}}, localrunner.Progress{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"claude", "-p", "hello"}; !slices.Equal(s.Args, want) {
		t.Errorf("where nothing is to be said differently: %q", s.Args)
	}
	if want := append(slices.Clone(m.Environ[:1]), "A=b", runVariable+"=2"); !slices.Equal(s.Environ, want) {
		t.Errorf("%q", s.Environ)
	}
	if s.Program != filepath.Join(m.Home, ".local", "bin", "claude") {
		t.Errorf("%s", s.Program)
	}
}

func TestASessionWithTheLeanProfile(t *testing.T) {
	m := scratch(t)
	s, err := Prepare(t.Context(), m, Request{Cloud: true, Lean: true, Folder: m.Home}, localrunner.Progress{})
	if err != nil || len(s.Args) != 5 || s.Args[1] != "--agents" || !strings.Contains(s.Args[2], `"prompt"`) || s.Args[3] != "--agent" || s.Args[4] != machine.LeanAgent {
		t.Errorf("%q %v", s.Args, err)
	}
	if s, err = Prepare(t.Context(), m, Request{Cloud: true, Lean: true, Folder: m.Home, Args: []string{"--agent", "mine"}}, localrunner.Progress{}); err != nil || len(s.Args) != 3 {
		t.Errorf("with an agent of its own: %q %v", s.Args, err)
	}
}

func TestASessionsOwnSettingsAreTheUsersAlone(t *testing.T) {
	m := scratch(t)
	file, err := writeOverlay(m, []byte(`{"theme":"dark","env":{"A":"1"}}`), map[string]string{"ANTHROPIC_AUTH_TOKEN": "word"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	data, err := os.ReadFile(file)
	var got struct {
		Theme string
		Env   map[string]string
	}
	if err := errors.Join(err, json.Unmarshal(data, &got)); err != nil || got.Theme != "dark" || !maps.Equal(got.Env, map[string]string{"A": "1", "ANTHROPIC_AUTH_TOKEN": "word"}) {
		t.Errorf("%s %v", data, err)
	}
}

func TestWhereTheCloudWasBeforeTheSwitch(t *testing.T) {
	m := scratch(t)
	if values, err := cloudValues(m, m.Home); err != nil || len(values) > 0 {
		t.Errorf("nothing was switched: %v %v", values, err)
	}
	file := filepath.Join(m.ConfigDir(), "settings.json")
	write(t, file, `{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:12434/anthropic","ANTHROPIC_MODEL":"ai/x"}}`)
	if values, err := cloudValues(m, m.Home); err != nil || values["ANTHROPIC_MODEL"] != "" || len(values) != 2 {
		t.Errorf("set by hand: %v %v", values, err)
	}
	write(t, file, `{"env":{"ANTHROPIC_BASE_URL":"https://company"}}`)
	if values, err := cloudValues(m, m.Home); err != nil || len(values) > 0 {
		t.Errorf("the company's: %v %v", values, err)
	}
	to := claude.Destination{BaseURL: "http://127.0.0.1:9", Token: machine.DummyToken, Model: "x", Context: 65536, Way: claude.Direct}
	if _, err := m.Ledger.Switch(t.Context(), m.Targets()[0], claude.Local, to, nil); err != nil {
		t.Fatal(err)
	}
	m.Environ = append(m.Environ, "ANTHROPIC_AUTH_TOKEN=from the shell")
	values, err := cloudValues(m, m.Home)
	if err != nil || values["ANTHROPIC_BASE_URL"] != "https://company" || values["ANTHROPIC_AUTH_TOKEN"] != "from the shell" {
		t.Errorf("%v %v", values, err)
	}
	if model, there := values["ANTHROPIC_DEFAULT_OPUS_MODEL"]; !there || model != "" {
		t.Errorf("the switch's model is left: %v", values)
	}
}

// occupy gives a place on a model to a process that lives.
func occupy(t *testing.T, m *machine.Machine, name, model string, number int, waiting bool) sessions.Slot {
	t.Helper()
	self, err := claude.Self()
	if err != nil {
		t.Fatal(err)
	}
	p := sessions.Slot{PID: os.Getppid(), Started: self.StartedAt, Model: model, Folder: "/w/" + name, Number: number, Waiting: waiting}
	dir, err := m.Paths.Runs()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".json"), string(data))
	return p
}

func TestASecondSessionOnAModel(t *testing.T) {
	const x, y = "docker.io/ai/x:latest", "docker.io/ai/y:latest"
	for _, tt := range []struct {
		name    string
		turn    Turn
		answer  Turn
		asks    bool
		model   string // the other session's; empty: there is none
		asked   bool
		refused string
	}{
		{"nobody else", AskFirst, AskFirst, true, "", false, ""},
		{"another model", AskFirst, AskFirst, true, y, false, ""},
		{"nobody can be asked", AskFirst, AskFirst, false, x, false, "ai/x is in use by the session in first"},
		{"the person says no", AskFirst, AskFirst, true, x, true, "the model is in use"},
		{"the person says yes", AskFirst, ShareTurn, true, x, true, ""},
		{"it is to share", ShareTurn, AskFirst, true, x, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := scratch(t)
			if tt.model != "" {
				occupy(t, m, "first", tt.model, 1, false)
			}
			asked := false
			c := Queue{Turn: tt.turn}
			if tt.asks {
				c.Ask = func(string) Turn { asked = true; return tt.answer }
			}
			leave, waited, err := acquire(t.Context(), m, sessions.Slot{Model: x, Folder: "/w/own"}, c)
			if asked != tt.asked || waited {
				t.Errorf("asked: %v, waited: %v", asked, waited)
			}
			own := func() int {
				return len(slices.DeleteFunc(sessions.Slots(m), func(p sessions.Slot) bool { return p.Folder != "/w/own" }))
			}
			if tt.refused != "" {
				refused(t, err, tt.refused)
				if own() != 0 {
					t.Error("it has a place all the same")
				}
				return
			}
			if err != nil || own() != 1 {
				t.Fatalf("%v, %d places", err, own())
			}
			if leave(); own() != 0 {
				t.Error("the place is left")
			}
		})
	}
}

func TestWhoWaitsHasANumber(t *testing.T) {
	const x = "docker.io/ai/x:latest"
	m := scratch(t)
	occupy(t, m, "first", x, 3, false)
	occupy(t, m, "second", x, 4, true)
	ctx, stop := context.WithCancel(t.Context())
	var told string
	_, waited, err := acquire(ctx, m, sessions.Slot{Model: x, Folder: "/w/own"}, Queue{Turn: WaitTurn, Tell: func(text string) {
		told = text
		if places := sessions.Slots(m); len(places) != 3 || places[2].Number != 5 || !places[2].Waiting {
			t.Errorf("%+v", places)
		}
		stop()
	}})
	if !waited || !strings.HasPrefix(told, "waiting for ai/x: number 2 in the queue, behind the session in second") {
		t.Errorf("%v %q", waited, told)
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Why != "interrupted while waiting" || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left := sessions.Slots(m); len(left) != 2 {
		t.Errorf("its place is left: %+v", left)
	}
}
