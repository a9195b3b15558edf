package service

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/wake"
)

// Serve makes Run serve the gateway too. Without it a supervisor only looks.
type Serve struct {
	Listeners []net.Listener // of the gateway, from the process before; none: its port is opened
	Program   string         // the executable that guards the gateway; empty: nobody does
	IsGuard   bool           // it took a killed one's place, and ends when another Switchyard starts
	Resting   bool           // a guard that only serves who is there: no settings are pointed to it
}

// defaultPort is the gateway's usual one.
const defaultPort = 12480

// door is the port between Claude Code and the runner, with what keeps it open.
type door struct {
	options   doorOptions
	gateway   *gateway.Gateway
	listeners []net.Listener
	url       string
	guard     *guard
	changed   chan struct{} // the gateway does something else, at most one waiting

	known chan struct{} // closed when the runner was looked for
	once  sync.Once

	mu      sync.Mutex
	tokens  []string // the newest first; an older one for as long as sessions may still use it
	found   found
	details map[string]detail
	uses    map[string]time.Time // when a model's use was noted last
}

// doorOptions are what a door works with, and whom it tells.
type doorOptions struct {
	Serve
	yard *Yard
	log  *slog.Logger

	state  func() State
	start  func(context.Context) error            // brings the runner up for a request
	ended  func(model string, why gateway.Reason) // hears how every request ended; empty: well
	used   func(id string)                        // hears now and then which model answers
	report func(context.Context, Gateway)         // hears what the gateway does, at most ten times a second
	look   func()                                 // the settings are to be looked at
	yield  func()                                 // ends this process: a fresh Switchyard has the listeners now
}

const (
	// reload is how long a running Claude Code takes to follow its settings
	// (measured: about 1 s), with room.
	reload = 2 * time.Second
	// rotation is how long the token of before is accepted.
	rotation = time.Minute
)

// openDoor opens the gateway's port.
func openDoor(ctx context.Context, options doorOptions) (_ *door, err error) {
	v := &door{options: options, changed: make(chan struct{}, 1), known: make(chan struct{}), details: map[string]detail{}, uses: map[string]time.Time{}}
	token, err := loadToken(options.yard.Paths)
	if err != nil {
		return nil, fmt.Errorf("its token cannot be kept: %w", err)
	}
	v.tokens = []string{token}
	v.gateway = gateway.New(gateway.Options{
		Tokens: v.accepted, Upstream: v.upstream, Model: v.model, Revive: v.revive,
		Parallel: options.yard.Config.Parallel, Changed: func() { wake.Notify(v.changed) }, Served: v.served,
	})
	relieved := false
	if v.listeners = options.Listeners; !options.IsGuard {
		v.listeners, relieved = options.yard.relieve(ctx)
	}
	if len(v.listeners) == 0 {
		if v.listeners, err = listen(ctx, options.yard.port(), relieved || options.IsGuard); err != nil {
			return nil, err
		}
	}
	v.url = "http://" + v.listeners[0].Addr().String()
	v.guard = newGuard(v)
	return v, nil
}

func (y *Yard) port() int {
	if y.Config.GatewayPort > 0 {
		return y.Config.GatewayPort
	}
	return y.Paths.Usual.Gateway
}

// listen opens the gateway's port on both loopback addresses, or a free one when
// another program holds it. A port that a process before is about to free is
// waited for.
func listen(ctx context.Context, port int, soonFree bool) ([]net.Listener, error) {
	var config net.ListenConfig
	first, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	for tries := 0; err != nil && soonFree && tries < 20; tries++ {
		<-time.After(50 * time.Millisecond)
		first, err = config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if err != nil {
		if first, err = config.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("no port can be opened: %w", err)
		}
	}
	listeners := []net.Listener{first}
	_, taken, _ := net.SplitHostPort(first.Addr().String())
	if second, err := config.Listen(ctx, "tcp", net.JoinHostPort("::1", taken)); err == nil { // a machine without IPv6 has none
		listeners = append(listeners, second)
	}
	return listeners, nil
}

// run serves until close is called; it starts goroutines that end then.
func (v *door) run(ctx context.Context, owned *sync.WaitGroup) {
	for _, l := range v.listeners {
		owned.Go(func() {
			if err := v.gateway.Serve(l); err != nil {
				v.options.log.Error("the gateway stopped", "error", err)
			}
		})
	}
	owned.Go(func() { v.tell(ctx) })
}

// watch keeps a guard for as long as the context lives. It is called once, and ends with closed.
func (v *door) watch(ctx context.Context) {
	if v.options.Program == "" {
		close(v.guard.done)
		return
	}
	go v.guard.run(ctx)
}

// tell reports what the gateway does, at most ten times a second.
func (v *door) tell(ctx context.Context) {
	const often = 100 * time.Millisecond
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C: // also when a speed has become old
		case <-v.changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(often):
			}
		}
		state := v.State()
		v.options.report(ctx, state)
		if state.TokensPerS > 0 {
			pause.Reset(gateway.RateAge)
		}
	}
}

// State is what the gateway does just now.
func (v *door) State() Gateway { return Gateway{URL: v.url, Snapshot: v.gateway.Snapshot()} }

// busy tells whether an answer is on its way.
func (v *door) busy() bool { return v.gateway.Snapshot().Running > 0 }

// Records are the requests that the gateway served, oldest first.
func (v *door) Records() []gateway.Record { return v.gateway.Records() }

// Follow hands over what it serves from now on, until the context ends.
func (v *door) Follow(ctx context.Context, send func([]gateway.Record) error) error {
	return v.gateway.Follow(ctx, send)
}

// Metrics are its figures as OpenMetrics.
func (v *door) Metrics() http.Handler { return v.gateway.Metrics() }

func (v *door) accepted() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.tokens)
}

// Address is where the gateway listens, and what it asks for, once a guard is there:
// whoever asks is about to write it into settings.
func (v *door) Address(ctx context.Context) address {
	v.guard.expect(ctx)
	return v.address()
}

func (v *door) address() address { return address{URL: v.url, Token: v.accepted()[0]} }

// Rotate asks for a new token from now on. Running sessions learn it from their
// settings; until they have, the one before is accepted too.
func (v *door) Rotate() error {
	token, err := newToken(v.options.yard.Paths)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.tokens = []string{token, v.tokens[0]}
	v.mu.Unlock()
	time.AfterFunc(rotation, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.tokens[0] == token { // else it was renewed once more
			v.tokens = v.tokens[:1]
		}
	})
	v.options.look()
	return nil
}

// lead points every target that is local or offline to this gateway, unless a
// person wants it otherwise: after a start, a killed supervisor, another port, a
// new token.
func (v *door) lead(ctx context.Context) {
	if v.options.Resting {
		return
	}
	here := v.address()
	v.options.yard.each(ctx, v.options.log, func(t claude.Target, now claude.Status) (claude.Destination, bool) {
		to := claude.Destination{BaseURL: here.URL, Token: here.Token, Way: claude.Gateway, Direct: now.Direct}
		if now.Way == claude.Unsettled {
			to.Direct = now.BaseURL
		}
		return to, now.Way == claude.Unsettled || now.Way == claude.Gateway && (now.BaseURL != here.URL || now.Token != here.Token)
	})
}

// leave points the targets past this gateway before it ends. A runner that only
// the gateway can reach leaves the cloud, but not for the offline route, which
// must not reach it, and not where it is forbidden.
func (v *door) leave(ctx context.Context) {
	v.options.yard.each(ctx, v.options.log, func(t claude.Target, now claude.Status) (claude.Destination, bool) {
		if now.Way != claude.Gateway || now.BaseURL != v.url {
			return claude.Destination{}, false
		}
		if now.Direct != "" {
			return claude.Destination{BaseURL: now.Direct, Token: dummyToken, Direct: now.Direct}, true
		}
		if _, locked := v.options.yard.Locked(t.Project); now.Route == claude.Local && !locked {
			_, err := v.options.yard.ledger.Switch(ctx, t, claude.Cloud, claude.Destination{}, nil)
			v.options.log.Warn("only the gateway reaches Model Runner: back to the cloud", "file", t.File, "error", err)
		}
		return claude.Destination{}, false
	})
}

// each repoints the switched targets for which where says so.
func (y *Yard) each(ctx context.Context, log *slog.Logger, where func(claude.Target, claude.Status) (claude.Destination, bool)) {
	targets, err := y.ledger.Switched()
	if err != nil {
		return // the look says so
	}
	for _, t := range targets {
		now, err := y.ledger.Inspect(t)
		if err != nil || now.Route == claude.Cloud {
			continue
		}
		to, wanted := where(t, now)
		if !wanted {
			continue
		}
		if _, err := y.ledger.Repoint(ctx, t, to); err != nil && ctx.Err() == nil {
			log.Warn("pointing Claude Code to another address", "file", t.File, "to", to.BaseURL, "error", err)
		} else if err == nil {
			log.Info("Claude Code was pointed to another address", "file", t.File, "to", to.BaseURL)
		}
	}
}

// follow points the targets to a runner's new address, those behind the gateway
// for when it ends.
func (y *Yard) follow(ctx context.Context, log *slog.Logger, from, to string) {
	if from == "" || to == "" || from == to {
		return
	}
	y.each(ctx, log, func(_ claude.Target, now claude.Status) (claude.Destination, bool) {
		at := claude.Destination{BaseURL: now.BaseURL, Token: now.Token, Way: now.Way, Direct: to}
		if now.BaseURL == from {
			at.BaseURL = to
		}
		return at, now.Direct == from || now.BaseURL == from
	})
}

// Yields tells whether it gives its listeners to a Switchyard that starts.
func (v *door) Yields() bool { return v.options.IsGuard }

// Yield hands the listeners over, and has this process end.
func (v *door) Yield(conn net.Conn) {
	if err := handOver(conn, v.listeners); err != nil {
		v.options.log.Warn("handing the gateway over", "error", err)
	}
	v.options.yield()
}

// close ends the gateway; requests in progress may take so long.
func (v *door) close(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = v.gateway.Shutdown(ctx)
}

// startServing opens and runs the gateway where Run shall serve; end is called
// when the loop has ended, before its goroutines are waited for.
func (s *Supervisor) startServing(ctx context.Context, stop func(), owned *sync.WaitGroup) (end func(), err error) {
	if s.serve == nil {
		return func() {}, nil
	}
	var yielded atomic.Bool
	v, err := openDoor(ctx, s.doorOptions(func() {
		yielded.Store(true)
		stop()
	}))
	if err != nil {
		return func() {}, err
	}
	socket, err := openControl(s.yard.Paths, v, s)
	if err != nil {
		for _, l := range v.listeners {
			_ = l.Close()
		}
		return func() {}, fmt.Errorf("its socket cannot be opened: %w", err)
	}
	s.door.Store(v)
	v.run(ctx, owned)
	owned.Go(socket.serve)
	guarding, endGuard := context.WithCancel(context.Background())
	v.watch(guarding) // ends in end
	closeBoth := func(grace time.Duration) {
		v.close(grace)
		socket.close()
	}
	return func() {
		grace := requestGrace
		if yielded.Load() {
			grace = yieldGrace
		} else {
			leaving, cancel := context.WithTimeout(context.Background(), leaveTime)
			v.leave(leaving)
			if len(s.State().Sessions) > 0 && s.State().Gateway.served() {
				<-time.After(reload) // the running sessions follow in this time; until then they are answered here
			}
			cancel()
			if s.State().runs > 0 {
				closeBoth(grace) // before the guard opens the same socket
				v.guard.stay()
			}
		}
		endGuard()
		<-v.guard.done
		closeBoth(grace)
	}, nil
}

// doorOptions are the door's, with what it needs of the other parts.
func (s *Supervisor) doorOptions(yield func()) doorOptions {
	return doorOptions{
		Serve: *s.serve, yard: s.yard, log: s.log,
		state:  s.State,
		start:  func(ctx context.Context) error { return s.keeper.do(ctx, nothing, false) },
		ended:  s.keeper.serve,
		used:   func(id string) { s.yard.learn(id, func(l *learned) { l.Used = time.Now() }) },
		report: func(ctx context.Context, g Gateway) { s.fact(ctx, func(k *known) { k.gateway = g }) },
		look:   func() { wake.Notify(s.lookFiles) },
		yield:  yield,
	}
}

const (
	// leaveTime bounds the settings' way past the gateway.
	leaveTime = 10 * time.Second
	// requestGrace is how long answers in progress may go on when Switchyard quits.
	requestGrace = 3 * time.Second
	// yieldGrace is the same for a guard that another Switchyard relieves: nobody waits for it.
	yieldGrace = 15 * time.Minute
)

// served tells whether any session was seen.
func (g Gateway) served() bool { return len(g.Sessions) > 0 }
