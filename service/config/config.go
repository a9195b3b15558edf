// Package config reads config.toml and a project's .switchyard.toml, and knows where Switchyard's own files are.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/state"
)

// Config is config.toml, overridden by SWITCHYARD_* variables. The zero value of
// each key is its default.
type Config struct {
	Runner          string   `toml:"runner"`           // Model Runner's address; empty: find it
	Model           string   `toml:"model"`            // for the local route; empty: the last one used, or the only one there is
	Targets         []string `toml:"targets"`          // further Claude Code configuration folders
	Notifications   *bool    `toml:"notifications"`    // nil: yes
	Quiet           []string `toml:"quiet"`            // kinds of notifications not to show; see Kinds
	Releases        string   `toml:"releases"`         // URL that names the latest release; empty: do not check
	GatewayPort     int      `toml:"gateway_port"`     // 0: 12480
	Cloud           string   `toml:"cloud"`            // Never: no switch to the cloud; empty: allowed
	Auto            string   `toml:"auto"`             // when the network goes or comes back: AutoAsk, AutoSwitch or AutoOff; empty: AutoAsk
	Lean            *bool    `toml:"lean"`             // new local sessions get the lean profile; nil: as chosen in the menu
	Parallel        int      `toml:"parallel"`         // requests at a time for a model; 0: as many as it has slots
	StartRunner     *bool    `toml:"start_runner"`     // Switchyard may start Model Runner by itself; nil: yes
	Engine          string   `toml:"engine"`           // container, desktop or process; empty: find it
	ModelRunner     string   `toml:"model_runner"`     // the model-runner or dmr program, for the process engine; empty: beside switchyard or on the PATH
	LlamaServer     string   `toml:"llama_server"`     // llama.cpp's server, for the process engine; empty: on the PATH
	ManagedSettings string   `toml:"managed_settings"` // folder of the administrator's settings; empty: the system's usual one
}

// Kinds are the kinds of notifications, as "quiet" may name them.
var Kinds = []string{"failures", "settings", "runner", "memory", "sessions", "pulls", "network", "departure", "updates"}

// Never is the value of "cloud" that forbids the cloud.
const Never = "never"

// The values of "auto".
const (
	AutoAsk    = "ask"    // a notification suggests the switch
	AutoSwitch = "switch" // Switchyard switches by itself
	AutoOff    = "off"
)

// Load reads the file at path, which may be missing, and then the environment.
// Unknown keys become warnings, so that a typo is noticed.
func Load(path string, getenv func(string) string) (Config, []state.Warning, error) {
	var c Config
	var warnings []state.Warning
	meta, err := toml.DecodeFile(path, &c)
	var syntax toml.ParseError
	var unreadable *fs.PathError
	const correct = "correct the line, or remove the file: every key is optional"
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &syntax):
		return c, nil, &fault.Error{Kind: fault.Refused, What: "reading " + path, Why: fmt.Sprintf("line %d: %s", syntax.Position.Line, strings.TrimSuffix(syntax.Message, ".")), Remedy: correct}
	case errors.As(err, &unreadable):
		return c, nil, &fault.Error{Kind: fault.Failed, What: "reading " + path, Why: err.Error(), Remedy: "make the file readable, or remove it"}
	case err != nil: // a value of another type
		return c, nil, &fault.Error{Kind: fault.Refused, What: "reading " + path, Why: strings.TrimPrefix(err.Error(), "toml: "), Remedy: correct}
	}
	for _, key := range meta.Undecoded() {
		warnings = append(warnings, state.Warning{Code: "config_unknown_key",
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
				return c, warnings, &fault.Error{Kind: fault.Refused, What: "reading " + name, Why: fmt.Sprintf("%q %v", v, err), Remedy: "correct it, or unset it"}
			}
		}
	}
	if c.GatewayPort < 0 || c.GatewayPort > 65535 || c.Parallel < 0 {
		return c, warnings, &fault.Error{Kind: fault.Refused, What: "reading the configuration", Why: "gateway_port must be between 1 and 65535, and parallel not below 0", Remedy: "correct it in " + path}
	}
	for _, kind := range c.Quiet {
		if !slices.Contains(Kinds, kind) {
			return c, warnings, &fault.Error{Kind: fault.Refused, What: "reading the configuration", Why: fmt.Sprintf("quiet: unknown kind of notification %q", kind), Remedy: "correct it in " + path + "; the kinds are " + strings.Join(Kinds, ", ")}
		}
	}
	if c.Cloud != "" && c.Cloud != Never {
		return c, warnings, &fault.Error{Kind: fault.Refused, What: "reading the configuration", Why: fmt.Sprintf("invalid value %q for cloud", c.Cloud), Remedy: `set it to "never", or leave it out: ` + path}
	}
	if c.Auto != "" && c.Auto != AutoAsk && c.Auto != AutoSwitch && c.Auto != AutoOff {
		return c, warnings, &fault.Error{Kind: fault.Refused, What: "reading the configuration", Why: fmt.Sprintf("invalid value %q for auto", c.Auto), Remedy: `set it to "ask", "switch" or "off", or leave it out: ` + path}
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
		return errors.New("is not a number")
	}
	*to = n
	return nil
}
