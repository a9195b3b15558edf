package autostart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func (p Place) file() string {
	return filepath.Join(p.Home, "Library", "LaunchAgents", ID+".plist")
}

// On makes the record, a LaunchAgent; launchd reads it at the next login.
func (p Place) On(program string) error {
	var escaped bytes.Buffer
	if err := xml.EscapeText(&escaped, []byte(program)); err != nil {
		return err
	}
	agent := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>%s</string>
	<key>ProgramArguments</key>
	<array>
		<string>%s</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>LimitLoadToSessionType</key>
	<string>Aqua</string>
</dict>
</plist>
`, ID, escaped.String())
	return put(p.file(), agent)
}

// Off removes the record.
func (p Place) Off() error {
	return remove(p.file())
}

// Status reads the record, and whether the user switched it off in the System Settings.
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
	var plist struct {
		Arguments []string `xml:"dict>array>string"`
	}
	if xml.Unmarshal(data, &plist) == nil && len(plist.Arguments) > 0 {
		s.Program = plist.Arguments[0]
	}
	out, err := exec.Command("launchctl", "print-disabled", fmt.Sprintf("gui/%d", os.Getuid())).Output()
	if err != nil {
		return s, nil
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, `"`+ID+`"`) && (strings.Contains(line, "disabled") || strings.Contains(line, "true")) {
			s.On, s.ByUser = false, true
		}
	}
	return s, nil
}

func windowless(program string) string { return program }
