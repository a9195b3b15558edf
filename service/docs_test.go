package service

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/troubleshooting.md explains every code that a warning or a finding can have.
func TestEveryCodeIsExplained(t *testing.T) {
	docs, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	if err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
			files = append(files, file)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`^[a-z]+_[a-z_]+$`)
	seen := 0
	explain := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil || !code.MatchString(text) {
			return
		}
		if seen++; !strings.Contains(string(docs), "`"+text+"`") {
			t.Errorf("docs/troubleshooting.md lacks %s", text)
		}
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit: // Warning{"code", …}, Finding{Code: "code", …}
				if name := typeName(n.Type); name != "Warning" && name != "Finding" || len(n.Elts) == 0 {
					return true
				}
				for i, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Code" {
							explain(kv.Value)
						}
					} else if i == 0 {
						explain(e)
					}
				}
			case *ast.AssignStmt: // code, … = "code", …
				if id, ok := n.Lhs[0].(*ast.Ident); ok && id.Name == "code" {
					explain(n.Rhs[0])
				}
			case *ast.CallExpr: // warn("code", …)
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "warn" {
					explain(n.Args[0])
				}
			case *ast.ValueSpec: // the engine's codes
				if name == filepath.Join("engine", "engine.go") || n.Names[0].Name == "code" {
					for _, v := range n.Values {
						explain(v)
					}
				}
			}
			return true
		})
	}
	if seen < 50 {
		t.Errorf("only %d codes were found", seen)
	}
}

// typeName is a type's name without its package.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
