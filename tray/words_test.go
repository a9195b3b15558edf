package tray

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// keys are all texts that the code says in the user's language: what is given to words.T
// and words.Key, and the nouns of Count.
func keys(t *testing.T) (all []string) {
	t.Helper()
	for _, dir := range []string{".", "../service"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				name := ""
				switch f := call.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
					if x, ok := f.X.(*ast.Ident); name != "Count" && (!ok || x.Name != "words") {
						return true
					}
				case *ast.Ident:
					name = f.Name
				}
				from := map[string]int{"T": 0, "Key": 0, "Count": 1}
				first, ok := from[name]
				if !ok {
					return true
				}
				for _, arg := range call.Args[first:] {
					if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						text, err := strconv.Unquote(lit.Value)
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, text)
					}
					if name != "Count" {
						break
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range assets.Suggestions() {
		all = append(all, one.About)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var placeholder = regexp.MustCompile(`%(?:\[(\d+)\])?[+#]?(?:\.\d+)?([a-z%])`)

// verbs are the values that a text takes, in their order.
func verbs(text string) string {
	list := map[int]string{}
	n := 0
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if m[2] == "%" {
			continue
		}
		if n++; m[1] != "" {
			n, _ = strconv.Atoi(m[1])
		}
		list[n] = m[2]
	}
	var out strings.Builder
	for i := 1; i <= len(list); i++ {
		out.WriteString(list[i])
	}
	return out.String()
}

// Every text has its translation in every language, with the same values in it, and no
// translation is left without a text.
func TestEveryTextIsTranslated(t *testing.T) {
	all := keys(t)
	if len(all) < 150 {
		t.Errorf("only %d texts were found", len(all))
	}
	for _, language := range words.Languages {
		data, err := os.ReadFile("../service/words/" + language + ".json")
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{}
		if err := json.Unmarshal(data, &texts); err != nil {
			t.Fatal(err)
		}
		for _, key := range all {
			own, ok := texts[key]
			switch {
			case !ok:
				t.Errorf("%s lacks %q", language, key)
			case verbs(own) != verbs(key):
				t.Errorf("%s: %q takes other values than %q", language, own, key)
			case strings.HasPrefix(key, " ") != strings.HasPrefix(own, " ") && language == "de":
				t.Errorf("%s: %q begins otherwise than %q", language, own, key)
			}
		}
		for key := range texts {
			if !slices.Contains(all, key) {
				t.Errorf("%s has %q, which nobody says", language, key)
			}
		}
	}
}

// The menu in German and Chinese: words, decimals, nothing too long.
func TestTheMenuInOtherLanguages(t *testing.T) {
	t.Cleanup(func() { words.Use("") })
	s := state.State{Route: claude.Local, Runner: up, Model: coder.Tag, Context: 65536, Models: []state.Model{coder},
		Sessions: []state.Session{{CWD: "/home/dev/shop", Route: claude.Local}, {CWD: "/home/dev/web", Route: claude.Local}}}
	for language, want := range map[string][]string{
		"de_AT.UTF-8": {"● Lokal · ai/qwen3-coder · 64K", "2 Sitzungen", "Einstellungen", "17,0 GiB", "Beenden und lokal bleiben"},
		"zh_CN.UTF-8": {"● 本地 · ai/qwen3-coder · 64K", "2 个会话", "设置", "17.0 GiB", "退出并保持本地"},
		"fr_FR.UTF-8": {"● Local · ai/qwen3-coder · 64K", "2 sessions", "Settings", "17.0 GiB", "Quit and stay local"},
	} {
		words.Use(language)
		var text strings.Builder
		var walk func(rows []menuRow)
		walk = func(rows []menuRow) {
			for _, r := range rows {
				text.WriteString(r.Title + "\n")
				if len([]rune(r.Title)) > maxTitle {
					t.Errorf("%s: %q is too long", language, r.Title)
				}
				walk(r.Rows)
			}
		}
		walk(menuFor(s))
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: %q is not in\n%s", language, w, text.String())
			}
		}
	}
}

func TestTheSystemsLanguage(t *testing.T) {
	for _, c := range []struct{ all, messages, lang, language, want string }{
		{"", "", "de_DE.UTF-8", "", "de_DE.UTF-8"}, {"C.UTF-8", "", "de_DE.UTF-8", "fr", "C.UTF-8"}, {"", "zh_CN.UTF-8", "de_DE.UTF-8", "", "zh_CN.UTF-8"},
		{"", "", "en_US.UTF-8", "de:en", "de"}, {"", "", "", "", ""},
	} {
		values := map[string]string{"LC_ALL": c.all, "LC_MESSAGES": c.messages, "LANG": c.lang, "LANGUAGE": c.language}
		if got := words.System(func(name string) string { return values[name] }); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
