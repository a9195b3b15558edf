package service

import (
	"context"
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
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/words"
)

const (
	firstReleaseCheck = time.Minute // after the start, when everything else has settled
	releaseInterval   = 24 * time.Hour
)

// vramInterval is how often the GPUs are read while Claude Code depends on a local model.
const vramInterval = 15 * time.Second

// watchVRAM keeps the graphics memory in the State up to date, and warns when it runs short.
func (s *Supervisor) watchVRAM(ctx context.Context) {
	var monitor memory.Monitor
	for {
		v := memory.Read(ctx, s.machine)
		now := s.State()
		var warnings []state.Warning
		if now.Needs().Route {
			monitor.Update(gpu.Free(v.Devices), gpu.Total(v.Devices))
			if w, ok := monitor.Warning(v, now.Models); ok {
				warnings = append(warnings, w)
			}
			if m, ok := memory.OnCPU(v, now.Models); ok {
				warnings = append(warnings, state.Warning{Code: "gpu_unused", Text: words.T("%s is running on the CPU, not the GPU, and will be slow", runner.Short(m.Tag)),
					Remedy: words.T("see what is missing: switchyard doctor")})
			}
		} else {
			monitor = memory.Monitor{}
		}
		s.update(ctx, func(k *known) {
			k.vram, k.vramWarnings = v, warnings
			k.judge(s.machine)
		})
		var again <-chan time.Time
		if s.State().Needs().Route && len(v.Devices) > 0 {
			again = time.After(vramInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.lookVRAM:
		case <-again:
		}
	}
}

// watchNetwork follows the network, on systems that report it.
func (s *Supervisor) watchNetwork(ctx context.Context) {
	err := network.Watch(ctx, func(r network.Reach) {
		s.update(ctx, func(k *known) { k.advisor.SetReach(r, time.Now()) })
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the network is not watched", "error", err)
	}
}

// followNetwork switches because the network went or came back (auto = "switch").
func (s *Supervisor) followNetwork(ctx context.Context, to claude.Route) {
	s.log.Info("the network changed", "route", to)
	_ = s.Switch(ctx, switching.Request{Route: to, Confirmed: true}) // a failure is in the State
}

// watchReleases asks for a newer version once a day, if the configuration names a URL,
// but never on the offline route.
func (s *Supervisor) watchReleases(ctx context.Context) {
	for pause := firstReleaseCheck; ; pause = releaseInterval {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if s.State().Route == claude.Offline {
			continue
		}
		found, err := release.Latest(ctx, s.machine.Config.Releases)
		if err != nil {
			s.log.Info("the releases URL", "error", err)
			continue
		}
		if found.Newer(s.machine.Version) {
			s.update(ctx, func(k *known) { k.update = found })
		}
	}
}

// updateAutostart reads whether Switchyard starts at login, after correcting an entry
// whose program was moved by an update.
func (s *Supervisor) updateAutostart(ctx context.Context) {
	if err := login.Place(s.machine).Follow(autostart.Stable(machine.Executable())); err != nil {
		s.log.Warn("the start at login", "error", err)
	}
	status, err := login.Status(s.machine)
	if err != nil {
		s.log.Warn("the start at login", "error", err)
	}
	s.update(ctx, func(k *known) { k.autostart = status })
}
