package door

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/switchyard-app/switchyard/service/config"
)

const tokenPrefix = "switchyard-"

// tokenFile is the gateway's bearer token: random, one for each installation, readable
// by its user only.
func tokenFile(p config.Paths) string { return filepath.Join(p.State, "token") }

// loadToken reads the token, and makes one the first time.
func loadToken(p config.Paths) (string, error) {
	data, err := os.ReadFile(tokenFile(p))
	if token := strings.TrimSpace(string(data)); err == nil && strings.HasPrefix(token, tokenPrefix) {
		return token, os.Chmod(tokenFile(p), 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return newToken(p)
}

// newToken replaces the token.
func newToken(p config.Paths) (string, error) {
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return "", err
	}
	token := tokenPrefix + rand.Text()
	temp := tokenFile(p) + ".new"
	if err := os.WriteFile(temp, []byte(token+"\n"), 0o600); err != nil {
		return "", err
	}
	return token, os.Rename(temp, tokenFile(p))
}
