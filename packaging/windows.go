package main

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/switchyard-app/switchyard/assets"
)

// windows makes an archive and an installer, for amd64.
func (m *maker) windows() error {
	const arch = "amd64"
	stage := filepath.Join(m.work, "windows")
	if err := write(filepath.Join(stage, "switchyard.ico"), assets.AppICO()); err != nil {
		return err
	}
	description, err := os.ReadFile(filepath.Join(m.root, "packaging", "windows", "winres.json"))
	if err != nil {
		return err
	}
	if err := write(filepath.Join(stage, "winres.json"), description); err != nil {
		return err
	}
	numbers, _, _ := strings.Cut(m.version, "~")
	numbers += ".0"
	// The compiler takes resources from beside the sources.
	object := filepath.Join(m.root, "rsrc_windows_"+arch+".syso")
	if err := m.tool(stage, nil, "go-winres", "make", "--in", "winres.json", "--arch", arch, "--out", filepath.Join(m.root, "rsrc"), "--product-version", numbers, "--file-version", numbers); err != nil {
		return err
	}
	defer os.Remove(object)
	environ := []string{"GOOS=windows", "GOARCH=" + arch, "CGO_ENABLED=0"}
	for name, flags := range map[string]string{"switchyard.exe": "", "switchyardw.exe": " -H windowsgui"} { // one for the terminal, one without a window
		if err := m.build(filepath.Join(stage, name), m.root, ".", environ, "-ldflags", "-s -w -X main.version="+m.version+flags); err != nil {
			return err
		}
	}
	for to, from := range map[string]string{"LICENSE.txt": filepath.Join(m.root, "LICENSE"), "NOTICES.txt": filepath.Join(m.work, "NOTICES.txt"), "README.md": filepath.Join(m.root, "README.md")} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(stage, to), data); err != nil {
			return err
		}
	}
	base := filepath.Join(m.dist, "switchyard-"+m.version+"-windows-"+arch)
	if err := zipFiles(base+".zip", stage, "switchyard.exe", "switchyardw.exe", "LICENSE.txt", "NOTICES.txt", "README.md"); err != nil {
		return err
	}
	if _, err := exec.LookPath("makensis"); err != nil {
		return errors.New("makensis is missing: apt-get install nsis")
	}
	return m.run(m.root, nil, "makensis", "-V2", "-DVERSION="+m.version, "-DNUMBERS="+numbers, "-DFILES="+stage, "-DOUT="+base+"-setup.exe", "packaging/windows/installer.nsi")
}

func zipFiles(path, dir string, names ...string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := zip.NewWriter(file)
	for _, name := range names {
		to, err := out.Create("switchyard/" + name)
		if err != nil {
			return err
		}
		from, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		_ = from.Close()
		if err != nil {
			return err
		}
	}
	return out.Close()
}
