package uninstall

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// quitTime is how long a running Switchyard may take to end.
const quitTime = 30 * time.Second

// Quit ends the Switchyard that runs, and waits until it has ended.
func Quit(ctx context.Context, m *machine.Machine) (ran bool, err error) {
	running, err := control.Find(ctx, m)
	if err != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, quitTime)
	defer cancel()
	for {
		err = running.Quit(ctx) // again to a guard that took its place
		if errors.Is(err, control.ErrNotRunning) && ctx.Err() == nil {
			return true, nil
		}
		var cut *url.Error // by its end, perhaps
		if err != nil && (!errors.As(err, &cut) || ctx.Err() != nil) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // nothing tells of another process' end
		}
	}
	return true, &fault.Error{Kind: fault.Failed, What: "ending Switchyard", Why: "the running Switchyard does not quit: " + err.Error(), Remedy: "quit it in its menu, then try again", Err: err}
}
