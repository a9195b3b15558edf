package door

import (
	"context"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Lead points every target that is local or offline to this gateway, unless a
// person wants it otherwise: after a start, a killed supervisor, another port, a
// new token.
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

// Leave points the targets past this gateway before it ends. A runner that only
// the gateway can reach leaves the cloud, but not for the offline route, which
// must not reach it, and not where it is forbidden.
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
