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
	token := tokenPrefix + rand.Text()
	return token, config.WriteAtomic(tokenFile(p), []byte(token+"\n"))
}
