// Command packaging makes what Switchyard is handed out as, in dist/: packages for Linux,
// archives, a Windows installer, checksums, an SBOM.
//
//	go run . [-version V] [-only linux,windows] (in packaging/)
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/assets"
)

// maker makes the packages of one version.
type maker struct {
	ctx     context.Context
	root    string // the repository
	dist    string
	work    string // what is packed
	version string
	date    time.Time // of the commit: the same sources give the same packages
}

func main() {
	version := flag.String("version", "", "the version (default: as git describes it)")
	only := flag.String("only", "linux,windows", "the systems, separated by commas")
	icons := flag.String("icons", "", "only write the icons of a macOS iconset into this folder")
	flag.Parse()
	if *icons != "" {
		if err := iconset(*icons); err != nil {
			fmt.Fprintln(os.Stderr, "packaging:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *version, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version string, systems []string) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	m := &maker{ctx: ctx, root: root, dist: filepath.Join(root, "dist"), work: filepath.Join(root, "dist", "work")}
	if err := errors.Join(os.RemoveAll(m.dist), os.MkdirAll(m.work, 0o755)); err != nil {
		return err
	}
	seconds, err := m.output(root, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	var unix int64
	if _, err := fmt.Sscan(seconds, &unix); err != nil {
		return err
	}
	m.date = time.Unix(unix, 0).UTC()
	if m.version, err = m.number(version); err != nil {
		return err
	}
	if err := m.notices(); err != nil {
		return err
	}
	for system, make := range map[string]func() error{"linux": m.linux, "windows": m.windows} {
		if slices.Contains(systems, system) {
			if err := make(); err != nil {
				return fmt.Errorf("%s: %w", system, err)
			}
		}
	}
	sbom := filepath.Join(m.dist, "switchyard-"+m.version+".cdx.json")
	if err := m.tool(root, nil, "cyclonedx-gomod", "mod", "-json", "-licenses", "-noserial", "-output", sbom, root); err != nil {
		return err
	}
	if err := os.RemoveAll(m.work); err != nil {
		return err
	}
	return m.checksums()
}

var released = regexp.MustCompile(`^v?(\d+\.\d+\.\d+)$`)

// number is the version without a v. What is not a release comes before the next one.
func (m *maker) number(given string) (string, error) {
	if given == "" {
		described, err := m.output(m.root, "git", "describe", "--tags", "--always", "--dirty")
		if err != nil {
			return "", err
		}
		given = described
	}
	if found := released.FindStringSubmatch(given); found != nil {
		return found[1], nil
	}
	return "0.0.0~" + m.date.Format("20060102150405") + "." + strings.ReplaceAll(strings.TrimPrefix(given, "v"), "-", "."), nil
}

// build compiles a program of the repository.
func (m *maker) build(out, dir, pkg string, environ []string, flags ...string) error {
	args := append([]string{"build", "-trimpath"}, flags...)
	return m.run(dir, environ, "go", append(args, "-o", out, pkg)...)
}

// tool runs one of the pinned tools of this module.
func (m *maker) tool(dir string, environ []string, name string, args ...string) error {
	path, err := m.output(filepath.Join(m.root, "packaging"), "go", "tool", "-n", name)
	if err != nil {
		return err
	}
	return m.run(dir, environ, path, args...)
}

func (m *maker) run(dir string, environ []string, name string, args ...string) error {
	cmd := exec.CommandContext(m.ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

func (m *maker) output(dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(m.ctx, name, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// iconset writes the program's icon as macOS' iconutil wants it.
func iconset(dir string) error {
	var all []error
	for _, size := range []int{16, 32, 128, 256, 512} {
		all = append(all, write(filepath.Join(dir, fmt.Sprintf("icon_%dx%d.png", size, size)), assets.App(size)),
			write(filepath.Join(dir, fmt.Sprintf("icon_%dx%d@2x.png", size, size)), assets.App(2*size)))
	}
	return errors.Join(all...)
}

// checksums writes the digests of all that was made.
func (m *maker) checksums() error {
	entries, err := os.ReadDir(m.dist)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range entries {
		file, err := os.Open(filepath.Join(m.dist, e.Name()))
		if err != nil {
			return err
		}
		digest := sha256.New()
		_, err = io.Copy(digest, file)
		_ = file.Close()
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", digest.Sum(nil), e.Name())
	}
	fmt.Print(lines.String())
	return os.WriteFile(filepath.Join(m.dist, "SHA256SUMS"), []byte(lines.String()), 0o644)
}

// write makes a file with its folders.
func write(path string, data []byte) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
}
