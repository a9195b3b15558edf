package service

import (
	"context"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/release"
)

const (
	firstUpdate = time.Minute // after the start, when everything else has settled
	everyUpdate = 24 * time.Hour
)

// watchReleases asks for a newer version once a day, where the configuration names a URL,
// and never in the offline route.
func (s *Supervisor) watchReleases(ctx context.Context) {
	for pause := firstUpdate; ; pause = everyUpdate {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if s.State().Route == claude.Offline {
			continue
		}
		found, err := release.Latest(ctx, s.yard.Config.Releases)
		if err != nil {
			s.log.Info("the releases URL", "error", err)
			continue
		}
		if found.Newer(s.yard.Version) {
			s.fact(ctx, func(k *known) { k.update = found })
		}
	}
}
