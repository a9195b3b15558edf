package door

import (
	"context"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
)

// PointHere points every target on the local or offline route to this gateway, unless the
// user switched it past the gateway. It is needed after a start, and when the port or the
// token has changed.
func (v *Door) PointHere(ctx context.Context) {
	if v.options.Resting {
		return
	}
	here := v.address()
	v.options.Machine.Repoint(ctx, v.options.Log, func(t claude.Target, now claude.Status) (claude.Destination, bool) {
		to := claude.Destination{BaseURL: here.URL, Token: here.Token, Way: claude.Gateway, Direct: now.Direct}
		if now.Way == claude.Unsettled {
			to.Direct = now.BaseURL
		}
		return to, now.Way == claude.Unsettled || now.Way == claude.Gateway && (now.BaseURL != here.URL || now.Token != here.Token)
	})
}

// PointPast points the targets past this gateway before it ends: to the runner itself, or if
// only the gateway reaches that, to the cloud. A target on the offline route, or where the
// cloud is forbidden, stays as it is.
func (v *Door) PointPast(ctx context.Context) {
	v.options.Machine.Repoint(ctx, v.options.Log, func(t claude.Target, now claude.Status) (claude.Destination, bool) {
		if now.Way != claude.Gateway || now.BaseURL != v.url {
			return claude.Destination{}, false
		}
		if now.Direct != "" {
			return claude.Destination{BaseURL: now.Direct, Token: machine.DummyToken, Direct: now.Direct}, true
		}
		if _, locked := v.options.Machine.Locked(t.Project); now.Route == claude.Local && !locked {
			_, err := v.options.Machine.Ledger.Switch(ctx, t, claude.Cloud, claude.Destination{}, nil)
			v.options.Log.Warn("only the gateway reaches Model Runner: back to the cloud", "file", t.File, "error", err)
		}
		return claude.Destination{}, false
	})
}
