package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/adrg/xdg"

	"github.com/switchyard-app/switchyard/service/engine"
)

// Config is config.toml, overridden by SWITCHYARD_* variables. The zero value
// of each key means what a user who never wrote the file expects.
type Config struct {
	Runner          string   `toml:"runner"`           // Model Runner's address; empty: find it
	Model           string   `toml:"model"`            // for the local route; empty: the last one used, or the only one
	Targets         []string `toml:"targets"`          // further Claude Code configuration folders
	Notifications   *bool    `toml:"notifications"`    // nil: yes
	Quiet           []string `toml:"quiet"`            // kinds of notifications that are not shown, see Kinds
	Releases        string   `toml:"releases"`         // URL that names the latest release; empty: nobody is asked
	GatewayPort     int      `toml:"gateway_port"`     // 0: 12480
	Cloud           string   `toml:"cloud"`            // "never": Claude Code is not switched to the cloud; empty: it may be
	Auto            string   `toml:"auto"`             // when the network goes or comes back: "ask" (a notification suggests the switch), "switch", "off"; empty: ask
	Lean            *bool    `toml:"lean"`             // new local sessions have the lean profile; nil: as the menu says
	Parallel        int      `toml:"parallel"`         // requests at a time for a model; 0: what it bears
	StartRunner     *bool    `toml:"start_runner"`     // Switchyard may start Model Runner by itself; nil: yes
	Engine          string   `toml:"engine"`           // container, desktop or process; empty: find it
	ModelRunner     string   `toml:"model_runner"`     // the model-runner or dmr program, for the process engine; empty: beside switchyard or on the PATH
	LlamaServer     string   `toml:"llama_server"`     // llama.cpp's server, for the process engine; empty: on the PATH
	ManagedSettings string   `toml:"managed_settings"` // folder of the administrator's settings; empty: the system's usual one
}

// Kinds are the kinds of notifications.
var Kinds = []string{"failures", "settings", "runner", "memory", "sessions", "pulls", "network", "departure", "updates"}

// LoadConfig reads the file, which may be absent. Unknown keys are returned as
// warnings, so that a typing error is not silent.
func LoadConfig(path string, getenv func(string) string) (Config, []Warning, error) {
	var c Config
	var warnings []Warning
	meta, err := toml.DecodeFile(path, &c)
	var syntax toml.ParseError
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &syntax):
		return c, nil, &Error{Kind: Refused, What: "reading " + path,
			Why: fmt.Sprintf("line %d: %s", syntax.Position.Line, syntax.Message), Remedy: "correct the line, or remove the file: every key is optional"}
	case err != nil:
		return c, nil, &Error{Kind: Failed, What: "reading " + path, Why: err.Error(), Remedy: "make the file readable, or remove it"}
	}
	for _, key := range meta.Undecoded() {
		warnings = append(warnings, Warning{Code: "config_unknown_key",
			Text: fmt.Sprintf("%s: there is no key %q", path, key.String()), Remedy: "correct or remove it"})
	}
	for name, set := range map[string]func(string) error{
		"SWITCHYARD_RUNNER":           func(v string) error { c.Runner = v; return nil },
		"SWITCHYARD_MODEL":            func(v string) error { c.Model = v; return nil },
		"SWITCHYARD_ENGINE":           func(v string) error { c.Engine = v; return nil },
		"SWITCHYARD_MODEL_RUNNER":     func(v string) error { c.ModelRunner = v; return nil },
		"SWITCHYARD_LLAMA_SERVER":     func(v string) error { c.LlamaServer = v; return nil },
		"SWITCHYARD_TARGETS":          func(v string) error { c.Targets = filepath.SplitList(v); return nil },
		"SWITCHYARD_MANAGED_SETTINGS": func(v string) error { c.ManagedSettings = v; return nil },
		"SWITCHYARD_NOTIFICATIONS":    func(v string) error { return setBool(&c.Notifications, v) },
		"SWITCHYARD_START_RUNNER":     func(v string) error { return setBool(&c.StartRunner, v) },
		"SWITCHYARD_CLOUD":            func(v string) error { c.Cloud = v; return nil },
		"SWITCHYARD_QUIET":            func(v string) error { c.Quiet = strings.Split(v, ","); return nil },
		"SWITCHYARD_RELEASES":         func(v string) error { c.Releases = v; return nil },
		"SWITCHYARD_AUTO":             func(v string) error { c.Auto = v; return nil },
		"SWITCHYARD_LEAN":             func(v string) error { return setBool(&c.Lean, v) },
		"SWITCHYARD_GATEWAY_PORT":     func(v string) error { return setNumber(&c.GatewayPort, v) },
		"SWITCHYARD_PARALLEL":         func(v string) error { return setNumber(&c.Parallel, v) },
	} {
		if v := getenv(name); v != "" {
			if err := set(v); err != nil {
				return c, warnings, &Error{Kind: Refused, What: "reading " + name, Why: fmt.Sprintf("%q %v", v, err), Remedy: "correct it, or unset it"}
			}
		}
	}
	if c.GatewayPort < 0 || c.GatewayPort > 65535 || c.Parallel < 0 {
		return c, warnings, &Error{Kind: Refused, What: "reading the configuration", Why: "gateway_port must be between 1 and 65535, and parallel not below 0", Remedy: "correct it in " + path}
	}
	for _, kind := range c.Quiet {
		if !slices.Contains(Kinds, kind) {
			return c, warnings, &Error{Kind: Refused, What: "reading the configuration", Why: fmt.Sprintf("quiet names %q, which is no kind of notification", kind), Remedy: "correct it in " + path + "; there are " + strings.Join(Kinds, ", ")}
		}
	}
	if c.Cloud != "" && c.Cloud != never {
		return c, warnings, &Error{Kind: Refused, What: "reading the configuration", Why: fmt.Sprintf("invalid value %q for cloud", c.Cloud), Remedy: `set it to "never", or leave it out: ` + path}
	}
	if c.Auto != "" && c.Auto != autoAsk && c.Auto != autoSwitch && c.Auto != autoOff {
		return c, warnings, &Error{Kind: Refused, What: "reading the configuration", Why: fmt.Sprintf("auto is %q, which means nothing", c.Auto), Remedy: `set it to "ask", "switch" or "off", or leave it out: ` + path}
	}
	return c, warnings, nil
}

func setBool(to **bool, text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return errors.New("is neither true nor false")
	}
	*to = &on
	return nil
}

func setNumber(to *int, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("is no number")
	}
	*to = n
	return nil
}

// Paths are Switchyard's own files.
type Paths struct {
	Config  string // config.toml
	State   string // folder: ledger, log, the model last used
	Runtime string // folder: the lock of the running tray

	Usual Usual
}

// Usual is where everybody's programs are found. The zero value sees nothing of
// its machine.
type Usual struct {
	Gateway int    // the port that the gateway takes when it is free; 0: any
	Runner  string // host:port of a Model Runner
	Docker  string // Docker's socket
}

// UserPaths are the places that the desktop's conventions give.
func UserPaths() Paths {
	return Paths{
		Config:  filepath.Join(xdg.ConfigHome, "switchyard", "config.toml"),
		State:   filepath.Join(xdg.StateHome, "switchyard"),
		Runtime: filepath.Join(xdg.RuntimeDir, "switchyard"),
		Usual:   Usual{Gateway: defaultPort, Runner: fmt.Sprintf("127.0.0.1:%d", engine.Port), Docker: engine.DockerSocket},
	}
}

// Ledger is the ledger's folder.
func (p Paths) Ledger() string { return filepath.Join(p.State, "ledger") }

// Log is the tray's log file.
func (p Paths) Log() string { return filepath.Join(p.State, "switchyard.log") }

// stopped marks that a person stopped the runner: nobody but a person starts it again.
func (p Paths) stopped() string { return filepath.Join(p.State, "runner-stopped") }

// lean marks that new local sessions have the lean profile.
func (p Paths) lean() string { return filepath.Join(p.State, "lean") }

// quiet marks that no notifications are shown.
func (p Paths) quiet() string { return filepath.Join(p.State, "quiet") }

func (p Paths) lastModel() string { return filepath.Join(p.State, "model") }

// expand makes a folder that a person wrote absolute, with ~ for the home folder.
func expand(dir, home string) string {
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		dir = filepath.Join(home, rest)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// list is a copy that JSON writes as [], never as null.
func list[T any](items []T) []T { return append(make([]T, 0, len(items)), items...) }

func unique[T comparable](list []T) []T {
	var out []T
	for _, x := range list {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
