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

// quitTime is how long a running Switchyard may take to quit.
const quitTime = 30 * time.Second

// Quit quits the running Switchyard, and waits until it has ended. ran is false if there was
// none.
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
		var cut *url.Error // perhaps because it has ended
		if err != nil && (!errors.As(err, &cut) || ctx.Err() != nil) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // nothing announces the end of a process that is not a child
		}
	}
	return true, &fault.Error{Kind: fault.Failed, What: "ending Switchyard", Why: "the running Switchyard does not quit: " + err.Error(), Remedy: "quit it from its menu, then try again", Err: err}
}
