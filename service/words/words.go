// Package words has what the desktop says in the user's language. English is written in
// the code and is the key; de.json and zh.json have the rest. What has no translation
// stays English, and so does everything until Use is called: the command line's words
// are for scripts too.
package words

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

//go:embed de.json zh.json
var catalogs embed.FS

// Languages are those that there is a catalog for, besides English.
var Languages = []string{"de", "zh"}

type language struct {
	texts map[string]string
	comma bool // decimals are written with one
}

var current atomic.Pointer[language]

// Use speaks a language from now on, as systems name it (de_AT.UTF-8, zh-Hans-CN); one
// without a catalog is English.
func Use(name string) {
	for _, known := range Languages {
		if tag := strings.ToLower(name); tag == known || strings.HasPrefix(tag, known+"_") || strings.HasPrefix(tag, known+"-") || strings.HasPrefix(tag, known+".") {
			if texts, err := load(known); err == nil {
				current.Store(&language{texts: texts, comma: known == "de"})
				return
			}
		}
	}
	current.Store(nil)
}

func load(name string) (map[string]string, error) {
	data, err := catalogs.ReadFile(name + ".json")
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	return texts, json.Unmarshal(data, &texts)
}

// Key marks an English text that T gets later.
func Key(text string) string { return text }

// T is a text in the user's language, with values put into it as fmt does. A
// translation may take them in another order: %[2]s.
func T(text string, values ...any) string {
	if l := current.Load(); l != nil {
		if own, ok := l.texts[text]; ok {
			text = own
		}
	}
	if len(values) == 0 {
		return text
	}
	return fmt.Sprintf(text, values...)
}

// Decimal is a number with so many digits after the point, or the comma.
func Decimal(value float64, digits int) string {
	text := strconv.FormatFloat(value, 'f', digits, 64)
	if l := current.Load(); l != nil && l.comma {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

// System is the language of the user's environment: what Unix programs look at.
func System(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := getenv(name); value != "" {
			if first, _, _ := strings.Cut(getenv("LANGUAGE"), ":"); first != "" && value != "C" && !strings.HasPrefix(value, "C.") && value != "POSIX" {
				return first
			}
			return value
		}
	}
	return own()
}
