package wake

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// OnFile tells when something is done with a file, which need not be there yet, until the
// context ends. It never tells where the file's folder cannot be watched.
func OnFile(ctx context.Context, watching *sync.WaitGroup, path string, done fsnotify.Op) <-chan struct{} {
	told := make(chan struct{}, 1)
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(real, filepath.Base(path))
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return told
	}
	if err := notify.Add(filepath.Dir(path)); err != nil {
		_ = notify.Close()
		return told
	}
	watching.Go(func() {
		defer notify.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-notify.Errors: // events were lost: it may have been done
			case event := <-notify.Events:
				if event.Name != path || !event.Has(done) {
					continue
				}
			}
			Notify(told)
		}
	})
	return told
}
