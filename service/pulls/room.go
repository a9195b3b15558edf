package pulls

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// reserve is what a pull must leave free on the disk.
const reserve = 1 << 30

// room refuses a model for which the disk has no room; done bytes of it are there already.
func (p *Puller) room(ctx context.Context, client *runner.Client, ref string, done int64) error {
	return room(ctx, client, ref, done, p.options.Runner(ctx).Seen.Store)
}

func room(ctx context.Context, client *runner.Client, ref string, done int64, store string) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := client.Remote(short, ref)
	if err != nil || m.Size == 0 {
		return nil // the pull itself reports what is wrong
	}
	free, ok := freeAt(store)
	if need := m.Size - done + reserve; ok && int64(free) < need {
		return &runner.PullError{Ref: ref, Why: fmt.Sprintf("it needs %s, but only %s is free", words.Size(m.Size), words.Size(int64(free))),
			Remedy: "free some space (switchyard models prune), then pull it again"}
	}
	return nil
}

// freeAt is how many bytes are free on the disk of a folder. If the folder does not exist,
// the nearest one above it counts.
func freeAt(dir string) (free uint64, ok bool) {
	for dir != "" {
		if usage, err := disk.Usage(dir); err == nil && usage.Total > 0 {
			return usage.Free, true
		}
		if dir == filepath.Dir(dir) {
			return 0, false
		}
		dir = filepath.Dir(dir)
	}
	return 0, false
}
