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

// tokenFile holds the gateway's bearer token: random, one for each user, readable only by
// this user.
func tokenFile(p config.Paths) string { return filepath.Join(p.State, "token") }

// loadToken reads the token. The first time, it makes one.
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

// newToken makes a token and stores it.
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
