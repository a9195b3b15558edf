package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-app/switchyard/service/localclaude"
	"github.com/switchyard-app/switchyard/service/machine"
)

func TestOutward(t *testing.T) {
	for _, tt := range []struct {
		server localclaude.MCPServer
		want   string
	}{
		{localclaude.MCPServer{}, ""},
		{localclaude.MCPServer{Command: "/opt/tool", Args: []string{"--port", "9"}}, ""},
		{localclaude.MCPServer{Command: "/usr/bin/npx", Args: []string{"-y", "x"}}, "is started by npx, which may have to download it"},
		{localclaude.MCPServer{Command: "uvx.exe"}, "is started by uvx, which may have to download it"},
		{localclaude.MCPServer{Command: "/opt/tool", Args: []string{"https://api.example.com/v1"}}, "talks to api.example.com"},
		{localclaude.MCPServer{Command: "/opt/tool", Args: []string{"http://[::1]:9"}}, ""},
		{localclaude.MCPServer{URL: "https://mcp.example.com/sse"}, "is at mcp.example.com"},
		{localclaude.MCPServer{URL: "http://localhost:9/sse"}, ""},
		{localclaude.MCPServer{URL: "http://mcp.localhost:9/sse"}, ""},
		{localclaude.MCPServer{URL: "http://127.0.0.1:9"}, ""},
		{localclaude.MCPServer{URL: "http://127.1.2.3:9"}, ""},
		{localclaude.MCPServer{URL: "http://[::1]:9"}, ""},
		{localclaude.MCPServer{URL: "http://192.168.1.20:9/sse"}, "is at 192.168.1.20"},
		{localclaude.MCPServer{URL: "http://10.0.0.5:9"}, "is at 10.0.0.5"},
		{localclaude.MCPServer{URL: "http://169.254.1.1:9"}, "is at 169.254.1.1"},
		{localclaude.MCPServer{URL: "http://[fe80::1]:9"}, "is at fe80::1"},
		{localclaude.MCPServer{URL: "http://localhost.example.com:9"}, "is at localhost.example.com"},
		{localclaude.MCPServer{Command: "/opt/tool", Args: []string{"http://192.168.1.20:9"}}, "talks to 192.168.1.20"},
	} {
		if got := outward(tt.server); got != tt.want {
			t.Errorf("%+v %s, want %s", tt.server, got, tt.want)
		}
	}
}

func TestLoginsAndBatteries(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name    string
		expires time.Time
		charge  string
		status  string
		want    string
	}{
		{"a desktop, no login", time.Time{}, "", "", ""},
		{"all is well", now.Add(48 * time.Hour), "90", "Discharging", ""},
		{"on the mains", now.Add(48 * time.Hour), "10", "Charging", ""},
		{"expired, and nearly empty", now.Add(-time.Minute), "29", "Discharging", "login_expired battery_low"},
		{"it ends in the air", now.Add(10 * time.Hour), "30", "Discharging", "login_expired"},
		{"strange", now.Add(48 * time.Hour), "much", "Discharging", ""},
	} {
		m := &machine.Machine{Home: t.TempDir()}
		write := func(file, text string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !tt.expires.IsZero() {
			write(filepath.Join(m.ConfigDir(), ".credentials.json"), `{"claudeAiOauth":{"accessToken":"secret","expiresAt":`+strconv.FormatInt(tt.expires.UnixMilli(), 10)+`}}`)
		}
		power := t.TempDir()
		if tt.charge != "" {
			write(filepath.Join(power, "BAT0", "capacity"), tt.charge+"\n")
			write(filepath.Join(power, "BAT0", "status"), tt.status+"\n")
		}
		d := &doctor{machine: m}
		d.login(now)
		d.battery(power)
		var codes []string
		for _, f := range d.findings {
			codes = append(codes, f.Code)
			if f.Remedy == "" || strings.Contains(f.Text, "secret") {
				t.Errorf("%+v", f)
			}
		}
		if got := strings.Join(codes, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
