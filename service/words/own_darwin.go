package words

import (
	"os/exec"
	"strings"
)

// own is the language of macOS, which programs without a terminal find in no variable.
func own() string {
	out, err := exec.Command("defaults", "read", "-g", "AppleLocale").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
