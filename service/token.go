package service

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// token is the gateway's bearer token: random, one for each installation, readable
// by its user only.
func (p Paths) token() string { return filepath.Join(p.State, "token") }

const tokenPrefix = "switchyard-"

// loadToken reads the token, and makes one the first time.
func loadToken(p Paths) (string, error) {
	data, err := os.ReadFile(p.token())
	if token := strings.TrimSpace(string(data)); err == nil && strings.HasPrefix(token, tokenPrefix) {
		return token, os.Chmod(p.token(), 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return newToken(p)
}

// newToken replaces the token.
func newToken(p Paths) (string, error) {
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return "", err
	}
	token := tokenPrefix + rand.Text()
	temp := p.token() + ".new"
	if err := os.WriteFile(temp, []byte(token+"\n"), 0o600); err != nil {
		return "", err
	}
	return token, os.Rename(temp, p.token())
}
