package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/cli"
)

const id = "dev.switchyard.Switchyard"

// linux makes the packages for this machine's processor.
func (m *maker) linux() error {
	stage := filepath.Join(m.work, "linux")
	program := filepath.Join(stage, "switchyard")
	environ := []string{"CGO_ENABLED=1", "CGO_CFLAGS=-O2 -g -Wno-deprecated-declarations -fstack-protector-strong -D_FORTIFY_SOURCE=2", "CGO_LDFLAGS=-O2 -g -Wl,-z,relro -Wl,-z,now"}
	if err := m.build(program, m.root, ".", environ, "-buildmode=pie", "-ldflags", "-s -w -X main.version="+m.version); err != nil {
		return err
	}
	parts := filepath.Join(m.root, "internal", "lab", "parts")
	number, err := m.output(parts, "go", "list", "-m", "-f", "{{.Version}}", "github.com/docker/model-runner")
	if err != nil {
		return err
	}
	if err := m.build(filepath.Join(stage, "model-runner"), parts, "github.com/docker/model-runner", []string{"CGO_ENABLED=0"}, "-ldflags", "-s -w -X main.Version="+number); err != nil {
		return err
	}
	share := filepath.Join(stage, "share")
	if err := errors.Join(m.desktop(share), m.manual(share), m.documents(share)); err != nil {
		return err
	}
	if err := m.settle(stage); err != nil {
		return err
	}
	for _, kind := range []string{"deb", "rpm", "archlinux", "apk"} {
		environ := []string{"ARCH=" + runtime.GOARCH, "VERSION=" + m.version, "STAGE=" + stage, "MAINTAINER=The Switchyard authors <authors@switchyard.dev>", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", m.date.Unix())}
		if err := m.tool(m.root, environ, "nfpm", "package", "--config", "packaging/nfpm.yaml", "--packager", kind, "--target", m.dist); err != nil {
			return err
		}
	}
	return m.archive(stage)
}

// desktop writes what desktops read: the entry, the metainfo, the icons.
func (m *maker) desktop(share string) error {
	entry, err := os.ReadFile(filepath.Join(m.root, "packaging", "linux", id+".desktop"))
	if err != nil {
		return err
	}
	info, err := os.ReadFile(filepath.Join(m.root, "packaging", "linux", id+".metainfo.xml"))
	if err != nil {
		return err
	}
	info = []byte(strings.NewReplacer("@VERSION@", m.version, "@DATE@", m.date.Format("2006-01-02")).Replace(string(info)))
	icons := filepath.Join(share, "icons", "hicolor")
	all := []error{
		write(filepath.Join(share, "applications", id+".desktop"), entry),
		write(filepath.Join(share, "metainfo", id+".metainfo.xml"), info),
		write(filepath.Join(icons, "scalable", "apps", id+".svg"), []byte(assets.AppSVG())),
		write(filepath.Join(icons, "symbolic", "apps", id+"-symbolic.svg"), []byte(assets.SymbolicSVG())),
	}
	for _, size := range []int{16, 22, 24, 32, 48, 64, 128, 256} {
		all = append(all, write(filepath.Join(icons, fmt.Sprintf("%dx%d", size, size), "apps", id+".png"), assets.App(size)))
	}
	return errors.Join(all...)
}

// manual writes the man pages and the shells' completions, made from the commands.
func (m *maker) manual(share string) error {
	root := cli.Root(cli.Env{})
	root.DisableAutoGenTag = true
	pages := filepath.Join(m.work, "man")
	if err := os.MkdirAll(pages, 0o755); err != nil {
		return err
	}
	for _, c := range all(root) {
		if c.DisableAutoGenTag = true; c.Long == "" {
			c.Long = c.Short + "."
		}
	}
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "SWITCHYARD", Section: "1", Date: &m.date, Source: "Switchyard " + m.version, Manual: "Switchyard"}, pages); err != nil {
		return err
	}
	entries, err := os.ReadDir(pages)
	if err != nil {
		return err
	}
	for _, e := range entries {
		page, err := os.ReadFile(filepath.Join(pages, e.Name()))
		if err != nil {
			return err
		}
		if err := write(filepath.Join(share, "man", "man1", e.Name()+".gz"), zipped(page)); err != nil {
			return err
		}
	}
	var bash, zsh, fish bytes.Buffer
	if err := errors.Join(root.GenBashCompletionV2(&bash, true), root.GenZshCompletion(&zsh), root.GenFishCompletion(&fish, true)); err != nil {
		return err
	}
	return errors.Join(
		write(filepath.Join(share, "bash-completion", "completions", "switchyard"), bash.Bytes()),
		write(filepath.Join(share, "zsh", "site-functions", "_switchyard"), zsh.Bytes()),
		write(filepath.Join(share, "zsh", "vendor-completions", "_switchyard"), zsh.Bytes()), // Debian's
		write(filepath.Join(share, "fish", "vendor_completions.d", "switchyard.fish"), fish.Bytes()),
	)
}

func all(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, child := range c.Commands() {
		list = append(list, all(child)...)
	}
	return list
}

// documents writes the licence, the notices and the changes, as Debian wants them.
func (m *maker) documents(share string) error {
	docs := filepath.Join(share, "doc", "switchyard")
	notices, err := os.ReadFile(filepath.Join(m.work, "NOTICES.txt"))
	if err != nil {
		return err
	}
	changes, err := os.ReadFile(filepath.Join(m.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	overrides, err := os.ReadFile(filepath.Join(m.root, "packaging", "linux", "lintian-overrides"))
	if err != nil {
		return err
	}
	copyright := fmt.Sprintf(`Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Switchyard
Comment: The licences of what it contains are in NOTICES.gz.

Files: *
Copyright: %d The Switchyard authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`, m.date.Year())
	debian := fmt.Sprintf("switchyard (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- The Switchyard authors <authors@switchyard.dev>  %s\n", m.version, m.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	return errors.Join(
		write(filepath.Join(docs, "copyright"), []byte(copyright)),
		write(filepath.Join(docs, "NOTICES.gz"), zipped(notices)),
		write(filepath.Join(docs, "changelog.gz"), zipped(changes)),
		write(filepath.Join(docs, "changelog.Debian.gz"), zipped([]byte(debian))),
		write(filepath.Join(share, "lintian", "overrides", "switchyard"), overrides),
	)
}

// settle gives all files one time and plain modes.
func (m *maker) settle(stage string) error {
	return filepath.WalkDir(stage, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() || filepath.Dir(path) == stage {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), os.Chtimes(path, m.date, m.date))
	})
}

// archive packs the same for those who do not want a package.
func (m *maker) archive(stage string) error {
	name := fmt.Sprintf("switchyard-%s-linux-%s", m.version, runtime.GOARCH)
	file, err := os.Create(filepath.Join(m.dist, name+".tar.gz"))
	if err != nil {
		return err
	}
	defer file.Close()
	pack := gzip.NewWriter(file)
	out := tar.NewWriter(pack)
	add := func(to, from string) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		mode := int64(0o644)
		if filepath.Dir(from) == stage {
			mode = 0o755
		}
		if err := out.WriteHeader(&tar.Header{Name: name + "/" + to, Mode: mode, Size: int64(len(data)), ModTime: m.date, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err = out.Write(data)
		return err
	}
	err = errors.Join(
		add("bin/switchyard", filepath.Join(stage, "switchyard")), add("bin/model-runner", filepath.Join(stage, "model-runner")),
		add("LICENSE", filepath.Join(m.root, "LICENSE")), add("README.md", filepath.Join(m.root, "README.md")), add("NOTICES.txt", filepath.Join(m.work, "NOTICES.txt")),
		filepath.WalkDir(filepath.Join(stage, "share"), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.Contains(path, "/lintian/") || strings.Contains(path, "/doc/") {
				return err
			}
			inside, err := filepath.Rel(stage, path)
			if err != nil {
				return err
			}
			return add(filepath.ToSlash(inside), path)
		}),
	)
	return errors.Join(err, out.Close(), pack.Close())
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one of its own
	_, _ = w.Write(data)
	_ = w.Close()
	return out.Bytes()
}
