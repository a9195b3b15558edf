// Package door keeps the gateway's port open: it runs the gateway, has a guard take over
// when this process is killed, and points Claude Code past the gateway when Switchyard
// quits.
package door

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/control"
	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

// ServeOptions say how a supervisor serves the gateway.
type ServeOptions struct {
	Listeners []net.Listener // of the gateway, inherited from the process before; none: open the port
	Program   string         // the executable to start as the guard; empty: no guard
	IsGuard   bool           // this is a guard that took over; it ends when another Switchyard starts
	Resting   bool           // a guard that serves only the remaining sessions: no settings are pointed to it
}

// Options are what a door works with.
type Options struct {
	ServeOptions
	Machine *machine.Machine
	Log     *slog.Logger

	State func() state.State
	Start func(context.Context) error            // starts the runner for a request
	Ended func(model string, why gateway.Reason) // called after every request; empty: it succeeded
	Used  func(id string)                        // called now and then with the id of a model that answers

	// Needs adds to what a model's chat template wants what was learned about the model
	// with an id and this build of the engine; Learned is called with what a refusal taught.
	Needs   func(id, build string, template shape.Needs) shape.Needs
	Learned func(id, build string, lesson shape.Lesson)

	Report func(context.Context, state.Gateway) // called when the gateway changed, at most ten times a second
	Look   func()                               // has the settings read again
	Yield  func()                               // ends this process: a new Switchyard has the listeners
}

// Door is the gateway's port, with what keeps it open.
type Door struct {
	options   Options
	gateway   *gateway.Gateway
	Listeners []net.Listener
	url       string
	Guard     *Guard
	changed   chan struct{} // the gateway's state changed, at most one waiting

	known chan struct{} // closed when the runner has been looked for
	once  sync.Once

	mu      sync.Mutex
	tokens  []string // the newest first, then one that sessions may still use
	found   localrunner.Instance
	details map[string]detail
	uses    map[string]time.Time // when the use of a model was last noted

	lessons chan lesson // to be stored
}

// Open opens the gateway's port, taking it over from a guard if there is one.
func Open(ctx context.Context, options Options) (_ *Door, err error) {
	v := &Door{options: options, changed: make(chan struct{}, 1), known: make(chan struct{}), details: map[string]detail{}, uses: map[string]time.Time{}, lessons: make(chan lesson, 16)}
	token, err := loadToken(options.Machine.Paths)
	if err != nil {
		return nil, fmt.Errorf("cannot store its token: %w", err)
	}
	v.tokens = []string{token}
	v.gateway = gateway.New(gateway.Options{
		Tokens: v.accepted, Upstream: v.upstream, Model: v.model, Revive: v.revive,
		Parallel: options.Machine.Config.Parallel, Changed: func() { wake.Notify(v.changed) }, Served: v.served, Learned: v.learned,
	})
	relieved := false
	if v.Listeners = options.Listeners; !options.IsGuard {
		v.Listeners, relieved = relieve(ctx, options.Machine)
	}
	if len(v.Listeners) == 0 {
		if v.Listeners, err = listen(ctx, options.Machine.GatewayPort(), relieved || options.IsGuard); err != nil {
			return nil, err
		}
	}
	v.url = "http://" + v.Listeners[0].Addr().String()
	v.Guard = newGuard(v)
	return v, nil
}

// Run serves in the background until Close. Its goroutines are in owned.
func (v *Door) Run(ctx context.Context, owned *sync.WaitGroup) {
	for _, l := range v.Listeners {
		owned.Go(func() {
			if err := v.gateway.Serve(l); err != nil {
				v.options.Log.Error("the gateway stopped", "error", err)
			}
		})
	}
	owned.Go(func() { v.report(ctx) })
	owned.Go(func() { v.store(ctx) })
}

// KeepGuard keeps a guard running while one is needed, until the context ends; then it
// closes Guard.Done. Call it once.
func (v *Door) KeepGuard(ctx context.Context) {
	if v.options.Program == "" {
		close(v.Guard.Done)
		return
	}
	go v.Guard.run(ctx)
}

// Close ends the gateway. Requests in progress may take until the end of grace.
func (v *Door) Close(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = v.gateway.Shutdown(ctx)
}

// State is what the gateway is doing.
func (v *Door) State() state.Gateway {
	return state.Gateway{URL: v.url, Snapshot: v.gateway.Snapshot()}
}

// Busy reports whether a request is being answered.
func (v *Door) Busy() bool { return v.gateway.Snapshot().Running > 0 }

// Address is the gateway's address. It waits for the guard, since the caller is about to
// write the address into settings.
func (v *Door) Address(ctx context.Context) control.Address {
	v.Guard.expect(ctx)
	return v.address()
}

func (v *Door) address() control.Address { return control.Address{URL: v.url, Token: v.accepted()[0]} }

// accepted are the tokens that a request may have.
func (v *Door) accepted() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.tokens)
}

// Rotate replaces the token. Running sessions read the new one from their settings; the old
// one is accepted for a minute.
func (v *Door) Rotate() error {
	token, err := newToken(v.options.Machine.Paths)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.tokens = []string{token, v.tokens[0]}
	v.mu.Unlock()
	time.AfterFunc(rotation, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.tokens[0] == token { // else there was another rotation
			v.tokens = v.tokens[:1]
		}
	})
	v.options.Look()
	return nil
}

// rotation is how long the previous token is accepted.
const rotation = time.Minute

// listen opens the gateway's port on both loopback addresses, or another port if a program
// uses it. With soonFree, it waits for a process that is about to free the port.
func listen(ctx context.Context, port int, soonFree bool) ([]net.Listener, error) {
	var config net.ListenConfig
	first, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	for tries := 0; err != nil && soonFree && tries < 20; tries++ {
		<-time.After(50 * time.Millisecond)
		first, err = config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	if err != nil {
		if first, err = config.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("cannot open a port: %w", err)
		}
	}
	listeners := []net.Listener{first}
	_, taken, _ := net.SplitHostPort(first.Addr().String())
	if second, err := config.Listen(ctx, "tcp", net.JoinHostPort("::1", taken)); err == nil { // a machine without IPv6 has none
		listeners = append(listeners, second)
	}
	return listeners, nil
}

// report reports the gateway's state when it changes, at most ten times a second.
func (v *Door) report(ctx context.Context) {
	const often = 100 * time.Millisecond
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C: // a speed shown in the State is outdated after a while
		case <-v.changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(often):
			}
		}
		state := v.State()
		v.options.Report(ctx, state)
		if state.TokensPerS > 0 {
			pause.Reset(gateway.RateAge)
		}
	}
}

// Records are the recent requests, oldest first.
func (v *Door) Records() []gateway.Record { return v.gateway.Records() }

// Follow calls send with every request from now on, until the context ends.
func (v *Door) Follow(ctx context.Context, send func([]gateway.Record) error) error {
	return v.gateway.Follow(ctx, send)
}

// Metrics serves the gateway's metrics as OpenMetrics.
func (v *Door) Metrics() http.Handler { return v.gateway.Metrics() }

// Yields reports whether Yield may be called: only a guard yields.
func (v *Door) Yields() bool { return v.options.IsGuard }

// Yield hands the listeners to a new Switchyard, and ends this process.
func (v *Door) Yield(conn net.Conn) {
	if err := handOver(conn, v.Listeners); err != nil {
		v.options.Log.Warn("handing the gateway over", "error", err)
	}
	v.options.Yield()
}
