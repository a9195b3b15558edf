package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"

	"github.com/switchyard-app/switchyard/service/engine"
)

// Paths are Switchyard's own files.
type Paths struct {
	Config  string // config.toml
	State   string // folder: ledger, log, the model last used
	Runtime string // folder: the socket, and run/ with the sessions of switchyard run

	Usual Usual
}

// Usual is where to look for programs that were installed the usual way. With the zero
// value nothing of the machine is seen, which is what tests need.
type Usual struct {
	Gateway int    // the port that the gateway takes if it is free; 0: any
	Runner  string // host:port of a Model Runner
	Docker  string // Docker's socket
}

// usualGateway is the default of "gateway_port".
const usualGateway = 12480

// UserPaths are the paths of this user, by the desktop's conventions (XDG on Linux).
func UserPaths() Paths {
	return Paths{
		Config:  filepath.Join(xdg.ConfigHome, "switchyard", "config.toml"),
		State:   filepath.Join(xdg.StateHome, "switchyard"),
		Runtime: filepath.Join(xdg.RuntimeDir, "switchyard"),
		Usual:   Usual{Gateway: usualGateway, Runner: fmt.Sprintf("127.0.0.1:%d", engine.Port), Docker: engine.DockerSocket},
	}
}

// Ledger is the folder in which claude.Ledger records switches.
func (p Paths) Ledger() string { return filepath.Join(p.State, "ledger") }

// Log is the log file of the tray.
func (p Paths) Log() string { return filepath.Join(p.State, "switchyard.log") }

// Audit is the file of audit lines, one JSON object each.
func (p Paths) Audit() string { return filepath.Join(p.State, "audit.jsonl") }

// Stopped marks that a person stopped the runner: Switchyard does not start it by itself.
func (p Paths) Stopped() string { return filepath.Join(p.State, "runner-stopped") }

// Lean marks that new local sessions get the lean profile.
func (p Paths) Lean() string { return filepath.Join(p.State, "lean") }

// Quiet marks that notifications are off.
func (p Paths) Quiet() string { return filepath.Join(p.State, "quiet") }

// LastModel holds the tag of the model last switched to.
func (p Paths) LastModel() string { return filepath.Join(p.State, "model") }

// Runs makes the folder for what switchyard run needs: a slot and settings for each session.
func (p Paths) Runs() (dir string, err error) {
	runtime, err := p.RuntimeDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(runtime, "run")
	return dir, os.MkdirAll(dir, 0o700)
}

// RuntimeDirs are the folders that RuntimeDir may have made.
func (p Paths) RuntimeDirs() []string {
	if p.Runtime == p.State {
		return []string{p.State}
	}
	return []string{p.Runtime, p.State}
}

// RuntimeDir makes the folder for the socket. Where there is no runtime folder, as in a
// login without a desktop session, it is the state folder.
func (p Paths) RuntimeDir() (string, error) {
	if os.MkdirAll(p.Runtime, 0o700) == nil {
		return p.Runtime, nil
	}
	return p.State, os.MkdirAll(p.State, 0o700)
}

// Expand makes a path absolute. A leading ~ is the home folder.
func Expand(dir, home string) string {
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		dir = filepath.Join(home, rest)
	}
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// Missing reports whether a folder does not exist.
func Missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// WriteAtomic replaces a file, and makes its folder. Readers see the old or the new file,
// also after a crash, never half of one. The file is readable only by this user.
func WriteAtomic(file string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp") // two processes may write at once
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
