package machine

import (
	"context"
	"log/slog"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
)

// Repoint points every switched target to the destination that where returns for it, if any.
// Failures are logged.
func (m *Machine) Repoint(ctx context.Context, log *slog.Logger, where func(claude.Target, claude.Status) (claude.Destination, bool)) {
	targets, err := m.Ledger.Switched()
	if err != nil {
		return // settings.Read warns of it
	}
	for _, t := range targets {
		now, err := m.Ledger.Inspect(t)
		if err != nil || now.Route == claude.Cloud {
			continue
		}
		to, wanted := where(t, now)
		if !wanted {
			continue
		}
		if _, err := m.Ledger.Repoint(ctx, t, to); err != nil && ctx.Err() == nil {
			log.Warn("pointing Claude Code to another address", "file", t.File, "to", to.BaseURL, "error", err)
		} else if err == nil {
			log.Info("Claude Code was pointed to another address", "file", t.File, "to", to.BaseURL)
		}
	}
}

// FollowRunner replaces the runner's old address with the new one in all targets, also
// in those that use the gateway: they need it when the gateway ends.
func (m *Machine) FollowRunner(ctx context.Context, log *slog.Logger, from, to string) {
	if from == "" || to == "" || from == to {
		return
	}
	m.Repoint(ctx, log, func(_ claude.Target, now claude.Status) (claude.Destination, bool) {
		at := claude.Destination{BaseURL: now.BaseURL, Token: now.Token, Way: now.Way, Direct: to}
		if now.BaseURL == from {
			at.BaseURL = to
		}
		return at, now.Direct == from || now.BaseURL == from
	})
}

// DummyToken keeps Claude Code from sending its own login to the runner, which checks no token.
const DummyToken = "switchyard"

// Reload is how long a running Claude Code takes to apply changed settings: about 1 s
// measured, doubled.
const Reload = 2 * time.Second
