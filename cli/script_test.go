package cli_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/switchyard-app/switchyard/cli"
	"github.com/switchyard-app/switchyard/internal/lab"
	"github.com/switchyard-app/switchyard/internal/lab/alone"
	"github.com/switchyard-app/switchyard/internal/lab/gguf"
	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/machine"
)

func TestMain(m *testing.M) {
	testscript.Main(alone.M{Tests: m}, map[string]func(){"switchyard": func() { os.Exit(run()) }})
}

// run is the program; its tray is a supervisor without an icon.
func run() int {
	home := os.Getenv("HOME")
	folder, _ := os.Getwd()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return cli.Run(ctx, cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Folder: folder, Home: home, Environ: os.Environ(),
		Paths: config.Paths{
			Config:  filepath.Join(home, ".config", "switchyard", "config.toml"),
			State:   filepath.Join(home, ".local", "state", "switchyard"),
			Runtime: filepath.Join(home, "run"),
			Usual:   config.Usual{Runner: "127.0.0.1:1"}, // nobody is there
		},
		Version: "v0-test",
		Tray: func(ctx context.Context, m *machine.Machine) error {
			s := service.NewSupervisor(m, slog.New(slog.DiscardHandler))
			s.Serve(door.ServeOptions{})
			return s.Run(ctx)
		},
	}, os.Args[1:])
}

// Each script is a session at a terminal, with a real Model Runner.
func TestScripts(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lab's runner needs a unix system")
	}
	parts, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runner, err := lab.StartRunner(t.Context(), parts, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runner.Stop)
	for name, m := range map[string]gguf.Model{"ai/tiny": {Context: 65536}, "ai/strict": {Strict: true}, "ai/plain": {Plain: true}, "ai/oom": {Behaviour: "oom"}} {
		if err := runner.Add(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
	}
	registry, stop, err := lab.Registry(parts, t.TempDir(), map[string]gguf.Model{"ai/tiny": {Context: 65536, Size: 5 << 20}, "ai/large": {Context: 131072, Size: 6 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("MODEL_RUNNER_HOST", runner.URL)
			e.Setenv("RUNNER", runner.URL)
			e.Setenv("REGISTRY", registry)
			e.Setenv("COMMANDS", filepath.SplitList(os.Getenv("PATH"))[0])
			e.Setenv("MODEL_RUNNER_PROGRAM", parts.ModelRunner)
			e.Setenv("LLAMA_SERVER", filepath.Join(parts.EngineDir, "llama-server"))
			e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "no-docker.sock"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "home"), 0o755)
		},
		Condition: func(name string) (bool, error) {
			if name != "double" {
				return false, errors.New("there is no such condition")
			}
			return !parts.RealEngine, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N COMMAND… runs a command and checks its exit code.
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("exit code %s, want %s", got, args[0])
				}
			},
			// eventually COMMAND… runs a command until it succeeds.
			"eventually": func(ts *testscript.TestScript, _ bool, args []string) {
				for limit := time.After(20 * time.Second); ts.Exec(args[0], args[1:]...) != nil; {
					select {
					case <-limit:
						ts.Fatalf("%q never succeeds", args)
					case <-time.After(50 * time.Millisecond):
					}
				}
			},
			// unescape FILE puts control characters into a file of a script.
			"unescape": func(ts *testscript.TestScript, _ bool, args []string) {
				text := strings.NewReplacer(`\r`, "\r", `\t`, "\t", `\c`, "").Replace(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.TrimSuffix(text, "\n")), 0o600))
			},
		},
	})
}
