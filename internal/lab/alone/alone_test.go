package alone

import (
	"slices"
	"testing"
)

func TestWhatIsKept(t *testing.T) {
	got := environment([]string{
		"PATH=/bin", "LAB_CACHE=/cache", "LABEL=x", "CI=true", "HOME=/home/me", "LANG=de_DE.UTF-8", "TZ=Asia/Kolkata", "http_proxy=http://box:1",
		"ANTHROPIC_API_KEY=secret", "CLAUDE_CONFIG_DIR=/home/me/claude", "DOCKER_CONTEXT=box", "XDG_STATE_HOME=/home/me/state", "SWITCHYARD_AUTO=switch",
	}, "/h")
	want := []string{"PATH=/bin", "LAB_CACHE=/cache", "CI=true", "HOME=/h", "LC_ALL=C.UTF-8", "TZ=UTC", "DOCKER_HOST=unix:///h/no-docker.sock", "DBUS_SESSION_BUS_ADDRESS=unix:path=/h/no-bus"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
