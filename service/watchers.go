package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/autostart"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/login"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/network"
	"github.com/switchyard-app/switchyard/service/release"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// watchers look and listen for what no room owns, and put it into the State.
type watchers struct {
	*hub
	log *slog.Logger
}

// readVRAM is how often the devices are read while Claude Code depends on a model here.
const readVRAM = 15 * time.Second

// memory keeps the graphics memory in the State up to date, and warns when it runs short.
func (w *watchers) memory(ctx context.Context, wishes <-chan struct{}) {
	var monitor memory.Monitor
	for {
		v := memory.Read(ctx, w.machine)
		now := w.State()
		var warnings []state.Warning
		if now.Needs().Route {
			monitor.Update(gpu.Free(v.Devices), gpu.Total(v.Devices))
			if warning, ok := monitor.Warning(v, now.Models); ok {
				warnings = append(warnings, warning)
			}
			if m, ok := memory.OnCPU(v, now.Models); ok {
				warnings = append(warnings, state.Warning{Code: "gpu_unused", Text: words.T("%s is running on the CPU, not the GPU, and will be slow", runner.Short(m.Tag)),
					Remedy: words.T("see what is missing: switchyard doctor")})
			}
		} else {
			monitor = memory.Monitor{}
		}
		w.update(ctx, func(k *known) {
			k.vram, k.vramWarnings = v, warnings
			k.judge(w.machine)
		})
		var again <-chan time.Time
		if w.State().Needs().Route && len(v.Devices) > 0 {
			again = time.After(readVRAM)
		}
		select {
		case <-ctx.Done():
			return
		case <-wishes:
		case <-again:
		}
	}
}

// network follows the network, on systems that report it.
func (w *watchers) network(ctx context.Context) {
	err := network.Watch(ctx, func(r network.Reach) {
		w.update(ctx, func(k *known) { k.advisor.SetReach(r, time.Now()) })
	})
	if err != nil && ctx.Err() == nil {
		w.log.Warn("the network is not watched", "error", err)
	}
}

const (
	firstUpdate = time.Minute // after the start, when everything else has settled
	everyUpdate = 24 * time.Hour
)

// releases asks for a newer version once a day, if the configuration names a URL,
// but never on the offline route.
func (w *watchers) releases(ctx context.Context) {
	for pause := firstUpdate; ; pause = everyUpdate {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if w.State().Route == claude.Offline {
			continue
		}
		found, err := release.Latest(ctx, w.machine.Config.Releases)
		if err != nil {
			w.log.Info("the releases URL", "error", err)
			continue
		}
		if found.Newer(w.machine.Version) {
			w.update(ctx, func(k *known) { k.update = found })
		}
	}
}

// autostart reads whether Switchyard starts at login, after correcting an entry
// whose program was moved by an update.
func (w *watchers) autostart(ctx context.Context) {
	if err := login.Place(w.machine).Follow(autostart.Stable(machine.Executable())); err != nil {
		w.log.Warn("the start at login", "error", err)
	}
	status, err := login.Status(w.machine)
	if err != nil {
		w.log.Warn("the start at login", "error", err)
	}
	w.update(ctx, func(k *known) { k.autostart = status })
}
