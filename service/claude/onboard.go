package claude

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Onboard notes in Claude Code's own file that its first start is over, so that it asks
// nothing. Every other byte stays. The error is a *Refusal where the file is not JSON.
func Onboard(file string) error {
	const tries = 5
	path, err := resolve(file)
	if err != nil {
		return err
	}
	for range tries {
		if err = onboard(path); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return err
}

func onboard(path string) error {
	before, err := readIfExists(path)
	if err != nil {
		return err
	}
	var like fs.FileInfo
	if before != nil {
		if like, err = os.Stat(path); err != nil {
			return err
		}
	}
	doc, err := parse(before)
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return &Refusal{File: path, Line: syntax.Line, Column: syntax.Column, Why: syntax.Reason, Remedy: "correct it, or start claude once, which repairs it"}
	}
	if err != nil {
		return err
	}
	doc.set(topLevel+"hasCompletedOnboarding", []byte("true"))
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.switchyard.%d", filepath.Base(path), os.Getpid()))
	var d disk
	after := doc.bytes()
	if err := d.write(temp, after, like); err != nil {
		return err
	}
	return d.swap(temp, path, after, before)
}
