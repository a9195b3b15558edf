package service

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/config"
)

// The file that the menu creates has every key of the configuration, and each line is valid
// once its # is removed.
func TestTheConfigurationThatTheMenuMakes(t *testing.T) {
	key := regexp.MustCompile(`(?m)^# (\w+ = )`)
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, key.ReplaceAll(assets.Config, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(file, func(string) string { return "" })
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	for i := range reflect.TypeOf(c).NumField() {
		if field := reflect.TypeOf(c).Field(i); reflect.ValueOf(c).Field(i).IsZero() {
			t.Errorf("it lacks %s", field.Tag.Get("toml"))
		}
	}
	if err := os.WriteFile(file, assets.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, err := config.Load(file, func(string) string { return "" }); err != nil || !reflect.ValueOf(c).IsZero() {
		t.Errorf("as it is, it says something: %+v, %v", c, err)
	}
	for _, kind := range config.Kinds {
		if !strings.Contains(string(assets.Config), kind) {
			t.Errorf("it lacks the kind %s", kind)
		}
	}
}
