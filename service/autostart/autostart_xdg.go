//go:build !windows && !darwin

package autostart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (p Place) file() string { return filepath.Join(p.Config, "autostart", ID+".desktop") }

// On makes the record: an entry of the XDG autostart specification.
func (p Place) On(program string) error {
	entry := fmt.Sprintf(`[Desktop Entry]
Type=Application
Version=1.4
Name=Switchyard
Comment=Claude Code: the cloud, or a model on this machine
Exec=%s
Icon=%s
Terminal=false
X-GNOME-Autostart-enabled=true
`, quote(program), ID)
	return put(p.file(), entry)
}

// Off removes the record.
func (p Place) Off() error {
	if err := remove(p.file()); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(p.file())) // only when it is empty
	return nil
}

// Status reads the record. Desktops switch an entry off by a key in it.
func (p Place) Status() (Status, error) {
	s := Status{Where: p.file()}
	data, err := os.ReadFile(p.file())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.On = true
	group := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			group = line
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || group != "[Desktop Entry]" {
			continue
		}
		switch name, value = strings.TrimSpace(name), strings.TrimSpace(value); {
		case name == "Exec":
			s.Program = unquote(value)
		case name == "Hidden" && value == "true", name == "X-GNOME-Autostart-enabled" && value == "false", name == "X-MATE-Autostart-enabled" && value == "false":
			s.On, s.ByUser = false, true
		}
	}
	return s, nil
}

// Quoting as the Desktop Entry Specification has it: twice, for the value and for Exec.
var (
	quoter   = strings.NewReplacer(`\`, `\\\\`, `"`, `\\"`, "`", "\\\\`", `$`, `\\$`, `%`, `%%`)
	unquoter = strings.NewReplacer(`\\\\`, `\`, `\\"`, `"`, "\\\\`", "`", `\\$`, `$`, `%%`, `%`)
)

func quote(program string) string { return `"` + quoter.Replace(program) + `"` }

// unquote takes the program out of an Exec value.
func unquote(exec string) string {
	if rest, ok := strings.CutPrefix(exec, `"`); ok {
		if end := strings.LastIndex(rest, `"`); end >= 0 {
			return unquoter.Replace(rest[:end])
		}
	}
	program, _, _ := strings.Cut(exec, " ")
	return unquoter.Replace(program)
}

func windowless(program string) string { return program }
