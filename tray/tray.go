package tray

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"

	"fyne.io/systray"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/config"
	"github.com/switchyard-app/switchyard/service/door"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/switching"
	"github.com/switchyard-app/switchyard/service/wake"
	"github.com/switchyard-app/switchyard/service/words"
)

// id names the icon, so that panels remember its place.
const id = "switchyard"

// Run shows the icon and supervises until the context ends or the user quits.
// Without a desktop it supervises all the same and says so.
func Run(ctx context.Context, m *machine.Machine, libraries *LibraryLog) error {
	unlock, err := onlyOne(m.Paths)
	if err != nil {
		return err
	}
	if unlock == nil {
		raise(ctx, m)
		return nil
	}
	defer unlock()
	words.Use(words.System(os.Getenv))
	logger, closeLog := config.OpenLog(m.Paths)
	defer closeLog()
	for _, w := range m.Warnings {
		say(logger, w.Text+"; "+w.Remedy)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t := &tray{
		log: logger, supervisor: service.NewSupervisor(m, logger),
		notices: make(chan told, 16), missed: make(chan notice), clicked: make(chan action), seen: make(chan struct{}, 1),
		muted: m.Config.Quiet,
	}
	t.supervisor.Serve(door.ServeOptions{Program: machine.Executable()})
	if problem := desktop(ctx); problem != "" {
		say(logger, problem)
		if !hasBus(ctx) {
			return t.supervisor.Run(ctx)
		}
	}
	libraries.To(logger) // the icon's library reports there
	restart, err := t.run(ctx, stop)
	if restart && err == nil {
		unlock()
		return again()
	}
	return err
}

// run shows the icon until the context ends or the user quits; restart says that it is to be
// shown on another session bus.
func (t *tray) run(ctx context.Context, stop func()) (restart bool, result error) {
	systray.SetTitle(id)
	if runtime.GOOS == "linux" {
		t.paint(state.State{Route: claude.Cloud}) // before the icon is on the bus, or it comes up empty
	}
	var owned sync.WaitGroup
	systray.Run(func() {
		t.menu = &applier{ctx: ctx, owned: &owned, clicks: t.clicks(ctx, stop, &owned), actions: map[*item]action{}}
		t.show(state.State{Route: claude.Cloud})
		states := t.supervisor.Subscribe() // before the first look, which may have something to tell
		owned.Go(func() {
			defer systray.Quit()
			result = t.supervisor.Run(ctx)
		})
		owned.Go(func() { t.follow(ctx, states) })
		owned.Go(func() { t.notify(ctx) })
		owned.Go(func() {
			if restart = awaitNewBus(ctx); restart {
				t.log.Info("the session bus was replaced; restarting for the icon")
				stop()
			}
		})
	}, nil)
	stop()
	owned.Wait()
	return restart, result
}

type tray struct {
	log        *slog.Logger
	supervisor *service.Supervisor
	notices    chan told
	missed     chan notice   // that no desktop showed
	clicked    chan action   // in the menu, or a notification's button
	seen       chan struct{} // the user looked at the menu
	muted      []string      // kinds of which the user wants none

	lost   bool   // the desktop is gone
	unseen notice // stands in the menu until something is clicked
	menu   *applier
	glyph  assets.Glyph
	badge  assets.Badge
	gauge  assets.Gauge
	drawn  bool
	tip    string
}

// follow draws every State and tells what changed.
func (t *tray) follow(ctx context.Context, states <-chan state.State) {
	var before state.State
	for {
		select {
		case <-ctx.Done():
			return
		case <-systray.TrayOpenedCh:
			t.supervisor.Refresh()
		case t.unseen = <-t.missed:
			t.show(before)
		case <-t.seen:
			t.unseen = notice{}
			t.show(before)
		case s := <-states:
			t.show(s)
			for _, n := range noticesOf(before, s) {
				select {
				case t.notices <- told{n, assets.PNG(t.glyph, t.badge, 0), s.Quiet || slices.Contains(t.muted, string(n.Kind))}:
				default:
					t.log.Warn("notification dropped: the desktop accepts none", "title", n.Title)
				}
			}
			before = s
		}
	}
}

func (t *tray) show(s state.State) {
	if t.lost {
		return
	}
	defer func() {
		// The library panics when the session bus is gone. There is nobody to draw for
		// then; the supervisor goes on, and another bus gets another icon.
		if r := recover(); r != nil {
			t.lost = true
			t.log.Warn("the desktop session is gone", "error", r)
		}
	}()
	t.menu.draw(withUnseen(menuFor(s), t.unseen))
	t.paint(s)
}

func (t *tray) paint(s state.State) {
	glyph, badge := iconFor(s)
	gauge := gaugeFor(s)
	if !t.drawn || glyph != t.glyph || badge != t.badge || gauge != t.gauge {
		t.glyph, t.badge, t.gauge, t.drawn = glyph, badge, gauge, true
		switch runtime.GOOS {
		case "windows":
			systray.SetIcon(assets.ICO(glyph, badge, gauge))
		case "darwin":
			systray.SetTemplateIcon(assets.Template(glyph, badge, gauge), assets.PNG(glyph, badge, gauge))
		default:
			systray.SetIcon(assets.PNG(glyph, badge, gauge))
		}
	}
	if tip := tooltip(s); tip != t.tip {
		t.tip = tip
		systray.SetTooltip(tip)
	}
}

// clicks performs what is clicked, one goroutine for each, so that the menu stays alive.
func (t *tray) clicks(ctx context.Context, stop func(), owned *sync.WaitGroup) chan<- action {
	owned.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case a := <-t.clicked:
				wake.Notify(t.seen)
				owned.Go(func() { t.perform(ctx, stop, a) })
			}
		}
	})
	return t.clicked
}

func (t *tray) perform(ctx context.Context, stop func(), a action) {
	// A failure reaches the person through the State.
	switch a.Do {
	case switchTo:
		_ = t.supervisor.Switch(ctx, switching.Request{Route: a.Route, Confirmed: a.Sure})
	case chooseModel:
		if err := t.supervisor.Choose(ctx, a.Model); err != nil {
			t.log.Warn("choosing a model", "error", err)
		}
	case pullModel:
		t.supervisor.StartPull(ctx, a.Model)
	case cancelPull:
		t.supervisor.CancelPull(ctx, a.Model)
	case resizeModel:
		_ = t.supervisor.Resize(ctx, a.Model, a.Context)
	case toggleLean:
		_ = t.supervisor.SetLean(ctx, a.Lean)
	case toggleAutostart:
		t.supervisor.SetAutostart(ctx, a.On)
	case toggleNotifications:
		t.supervisor.SetQuiet(ctx, !a.On)
	case openConfig:
		t.supervisor.OpenConfig(ctx, open)
	case openRelease:
		_ = open(ctx, a.Page) // its version stands in the menu
	case checkDeparture:
		t.supervisor.CheckDeparture(ctx)
	case cureDeparture:
		t.supervisor.CureDeparture(ctx, a.Cure)
	case controlRunner:
		_ = t.supervisor.ControlRunner(ctx, a.Want)
	case openRunnerLog:
		t.supervisor.OpenRunnerLog(ctx, open)
	case cloudThenQuit:
		if t.supervisor.Switch(ctx, switching.Request{Route: claude.Cloud, Confirmed: true}) == nil {
			stop()
		}
	case quit:
		stop()
	}
}
