package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)(\.(txt|md))?(-\w+)?$`)

// notices gathers the licences of everything that the programs are made of.
func (m *maker) notices() error {
	type module struct{ Path, Version, Dir string }
	modules := map[string]module{}
	for _, list := range []struct{ dir, pkg, system, cgo string }{
		{m.root, ".", "linux", "1"}, {m.root, ".", "windows", "0"}, {m.root, ".", "darwin", "1"},
		{filepath.Join(m.root, "internal", "lab", "parts"), "github.com/docker/model-runner", "linux", "0"},
	} {
		out, err := m.output(list.dir, "env", "GOOS="+list.system, "CGO_ENABLED="+list.cgo, "go", "list", "-e", "-deps", "-json=Module", list.pkg)
		if err != nil {
			return err
		}
		for decode := json.NewDecoder(strings.NewReader(out)); ; {
			var p struct{ Module *module }
			if err := decode.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if p.Module != nil && p.Module.Version != "" {
				modules[p.Module.Path] = *p.Module
			}
		}
	}
	var out bytes.Buffer
	fmt.Fprint(&out, "Switchyard, and Docker Model Runner where it comes with it, contain these modules.\n")
	var paths []string
	for path := range modules {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		one := modules[path]
		entries, err := os.ReadDir(one.Dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "\n%s\n%s %s\n", strings.Repeat("=", 72), one.Path, one.Version)
		found := false
		for _, e := range entries {
			if e.IsDir() || !licence.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(one.Dir, e.Name()))
			if err != nil {
				return err
			}
			found = true
			fmt.Fprintf(&out, "\n%s\n", bytes.TrimSpace(text))
		}
		if !found {
			return fmt.Errorf("%s has no licence file", path)
		}
	}
	return write(filepath.Join(m.work, "NOTICES.txt"), out.Bytes())
}
