package lean

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

func TestAnAgentFileTakenApart(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		front      map[string]string
		prompt     string
	}{
		{"both", "---\nname: x\n---\nBe brief.\n", map[string]string{"name": "x"}, "Be brief.\n"},
		{"from Windows", "---\r\nname: x\r\n---\r\nBe brief.\r\n", map[string]string{"name": "x"}, "Be brief.\n"},
		{"a colon in a value", "---\ndescription:  lean: short \n---\n", map[string]string{"description": "lean: short"}, ""},
		{"a line in the prompt", "---\nname: x\n---\na\n---\nb", map[string]string{"name": "x"}, "a\n---\nb"},
		{"no front matter", "Be brief.\n---\nname: x\n", map[string]string{}, "Be brief.\n---\nname: x\n"},
		{"without an end", "---\nname: x\nBe brief.\n", map[string]string{"name": "x"}, ""},
		{"nothing", "", map[string]string{}, ""},
	} {
		if front, prompt := splitAgent([]byte(tt.text)); !maps.Equal(front, tt.front) || prompt != tt.prompt {
			t.Errorf("%s: %v %q", tt.name, front, prompt)
		}
	}
}

func TestAnAgentOnTheCommandLine(t *testing.T) {
	got := Inline(&claude.Agent{Name: "x", Text: []byte("---\nname: x\ndescription: short\ntools: Read, Edit,Bash\n---\nBe brief.")})
	if want := map[string]any{"x": map[string]any{"description": "short", "prompt": "Be brief.", "tools": []string{"Read", "Edit", "Bash"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	got = Inline(&claude.Agent{Name: "x", Text: []byte("---\nname: x\n---\n")})
	if _, limited := got["x"].(map[string]any)["tools"]; limited {
		t.Errorf("without the line it has all tools: %v", got)
	}
}

func TestTheUsersOwnProfile(t *testing.T) {
	home := t.TempDir()
	m := &machine.Machine{Home: home, Paths: config.Paths{Config: filepath.Join(home, "config.toml")}}
	own := filepath.Join(home, "prompts", "lean.md")
	if a, err := Agent(m); err != nil || a.Name != machine.LeanAgent || string(a.Text) != string(assets.LeanAgent) {
		t.Errorf("there is none: %v", err)
	}
	if front, prompt := splitAgent(assets.LeanAgent); front["name"] != machine.LeanAgent || front["tools"] == "" || prompt == "" {
		t.Errorf("Switchyard's: %v", front)
	}
	if err := os.Mkdir(filepath.Dir(own), 0o700); err != nil {
		t.Fatal(err)
	}
	mine := "---\nname: " + machine.LeanAgent + "\n---\nMine.\n"
	for text, right := range map[string]bool{mine: true, "Be brief.\n": false, "---\nname: other\n---\n": false} {
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := Agent(m)
		var refused *fault.Error
		switch {
		case right && (err != nil || string(a.Text) != text):
			t.Errorf("%q: %v", text, err)
		case !right && (!errors.As(err, &refused) || refused.Kind != fault.Refused || !strings.Contains(refused.Why, own) || !strings.Contains(refused.Why, "name: "+machine.LeanAgent)):
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := errors.Join(os.Remove(own), os.Mkdir(own, 0o700)); err != nil {
		t.Fatal(err)
	}
	var refused *fault.Error
	if _, err := Agent(m); !errors.As(err, &refused) || refused.Kind != fault.Refused || refused.Remedy == "" {
		t.Errorf("one that cannot be read: %v", err)
	}
}
