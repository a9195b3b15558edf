package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// Quiet tells whether no notifications shall be shown.
func (y *Yard) Quiet() bool {
	if y.Config.Notifications != nil {
		return !*y.Config.Notifications
	}
	_, err := os.Stat(y.Paths.quiet())
	return err == nil
}

// SetQuiet remembers whether notifications shall be shown. The configuration overrules it.
func (s *Supervisor) SetQuiet(ctx context.Context, quiet bool) {
	err := error(&Error{Kind: Refused, Why: "the configuration says whether there are notifications", Remedy: `change "notifications" in ` + s.yard.Paths.Config})
	if s.yard.Config.Notifications == nil {
		err = s.yard.mark(s.yard.Paths.quiet(), quiet)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not change the notifications"), err)
	}
	wake.Notify(s.lookFiles)
}

// OpenConfig shows the configuration with the desktop's own program; where there is none
// yet, one in which every key is a comment.
func (s *Supervisor) OpenConfig(ctx context.Context, open func(context.Context, string) error) {
	file := s.yard.Paths.Config
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, assets.Config, 0o600)
		}
	}
	if err == nil {
		err = open(ctx, file)
	}
	if err != nil {
		s.failed(ctx, words.Key("Could not open the configuration"), &Error{Kind: Failed, Why: err.Error(), Remedy: "open it yourself: " + file, Err: err})
	}
}
