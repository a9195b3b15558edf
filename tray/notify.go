package tray

import (
	"context"
	"runtime"
	"strings"

	"github.com/gen2brain/beeep"
)

// told is a notification with the icon that it is shown with.
type told struct {
	notice
	icon  []byte
	quiet bool // it is only logged
}

// notifier shows notifications on one desktop. It is used by one goroutine at a time.
type notifier interface {
	// show returns when the desktop took the notification, or its context ends. One with the key of an
	// earlier one takes its place, where the desktop can do that.
	show(n told) error
	close()
}

// notify shows the notifications, apart from the menu: a desktop's daemon may hang.
func (t *tray) notify(ctx context.Context) {
	desktop := newNotifier(ctx, func(a action) {
		select {
		case t.clicked <- a:
		case <-ctx.Done():
		}
	})
	defer desktop.close()
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-t.notices:
			t.log.Info("notice", "title", n.Title)
			if n.quiet {
				continue
			}
			if err := desktop.show(n); err != nil && ctx.Err() == nil {
				t.log.Warn("notification", "error", err)
				t.miss(ctx, n.notice)
			}
		}
	}
}

// miss puts a notification that no desktop showed into the menu's first lines.
func (t *tray) miss(ctx context.Context, n notice) {
	select {
	case t.missed <- n:
	case <-ctx.Done():
	}
}

// markup is what notification servers would take for formatting.
var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// plain shows notifications by the means that every system has.
type plain struct{ ctx context.Context }

func (p plain) show(n told) error {
	text := n.Text
	if runtime.GOOS == "linux" {
		text = markup.Replace(text)
	}
	shown := make(chan error, 1)
	// The library cannot be cancelled. There is one call at a time, and one that hangs
	// when Switchyard quits ends with the process.
	beeep.AppName = "Switchyard"
	go func() { shown <- beeep.Notify(n.Title, text, n.icon) }()
	select {
	case err := <-shown:
		return err
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (plain) close() {}
