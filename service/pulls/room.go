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

// room refuses a model that the disk has no room for; done bytes of it are there.
func (p *Puller) room(ctx context.Context, client *runner.Client, ref string, done int64) error {
	return room(ctx, client, ref, done, p.options.Runner(ctx).Seen.Store)
}

func room(ctx context.Context, client *runner.Client, ref string, done int64, store string) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := client.Remote(short, ref)
	if err != nil || m.Size == 0 {
		return nil // the pull itself says what is wrong
	}
	free, ok := freeAt(store)
	if need := m.Size - done + reserve; ok && int64(free) < need {
		return &runner.PullError{Ref: ref, Why: fmt.Sprintf("it needs %s, and %s are free", words.Size(m.Size), words.Size(int64(free))),
			Remedy: "make room (switchyard models prune), and pull it again"}
	}
	return nil
}

// freeAt is how many bytes are free where a folder is, or the nearest one above it
// that can be asked.
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
