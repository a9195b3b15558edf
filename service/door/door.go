// Package door is the port between Claude Code and the runner that never dies: the gateway's host, the guard that takes over when this process is killed, and the way past it when Switchyard quits.
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
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

// rotation is how long the token of before is accepted.
const rotation = time.Minute

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

// tell reports what the gateway does, at most ten times a second.
func (v *Door) tell(ctx context.Context) {
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
		v.options.Report(ctx, state)
		if state.TokensPerS > 0 {
			pause.Reset(gateway.RateAge)
		}
	}
}

// State is what the gateway does just now.
func (v *Door) State() state.Gateway {
	return state.Gateway{URL: v.url, Snapshot: v.gateway.Snapshot()}
}

// Records are the requests that the gateway served, oldest first.
func (v *Door) Records() []gateway.Record { return v.gateway.Records() }

// Follow hands over what it serves from now on, until the context ends.
func (v *Door) Follow(ctx context.Context, send func([]gateway.Record) error) error {
	return v.gateway.Follow(ctx, send)
}

// Metrics are its figures as OpenMetrics.
func (v *Door) Metrics() http.Handler { return v.gateway.Metrics() }

func (v *Door) accepted() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.tokens)
}

// Address is where the gateway listens, and what it asks for, once a guard is there:
// whoever asks is about to write it into settings.
func (v *Door) Address(ctx context.Context) control.Address {
	v.Guard.expect(ctx)
	return v.address()
}

func (v *Door) address() control.Address { return control.Address{URL: v.url, Token: v.accepted()[0]} }

// Rotate asks for a new token from now on. Running sessions learn it from their
// settings; until they have, the one before is accepted too.
func (v *Door) Rotate() error {
	token, err := newToken(v.options.Machine.Paths)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.tokens = []string{token, v.tokens[0]}
	v.mu.Unlock()
	time.AfterFunc(rotation, func() { // of a door that is closed it changes what nobody reads
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.tokens[0] == token { // else it was renewed once more
			v.tokens = v.tokens[:1]
		}
	})
	v.options.Look()
	return nil
}

// Yields tells whether it gives its listeners to a Switchyard that starts.
func (v *Door) Yields() bool { return v.options.IsGuard }

// Yield hands the listeners over, and has this process end.
func (v *Door) Yield(conn net.Conn) {
	if err := handOver(conn, v.Listeners); err != nil {
		v.options.Log.Warn("handing the gateway over", "error", err)
	}
	v.options.Yield()
}

// Serve makes Run serve the gateway too. Without it a supervisor only looks.
type Serve struct {
	Listeners []net.Listener // of the gateway, from the process before; none: its port is opened
	Program   string         // the executable that guards the gateway; empty: nobody does
	IsGuard   bool           // it took a killed one's place, and ends when another Switchyard starts
	Resting   bool           // a guard that only serves who is there: no settings are pointed to it
}

// Door is the port between Claude Code and the runner, with what keeps it open.
type Door struct {
	options   Options
	gateway   *gateway.Gateway
	Listeners []net.Listener
	url       string
	Guard     *Guard
	changed   chan struct{} // the gateway does something else, at most one waiting

	known chan struct{} // closed when the runner was looked for
	once  sync.Once

	mu      sync.Mutex
	tokens  []string // the newest first; an older one for as long as sessions may still use it
	found   localrunner.Instance
	details map[string]detail
	uses    map[string]time.Time // when a model's use was noted last
}

// Options are what a door works with, and whom it tells.
type Options struct {
	Serve
	Machine *machine.Machine
	Log     *slog.Logger

	State  func() state.State
	Start  func(context.Context) error            // brings the runner up for a request
	Ended  func(model string, why gateway.Reason) // hears how every request ended; empty: well
	Used   func(id string)                        // hears now and then which model answers
	Report func(context.Context, state.Gateway)   // hears what the gateway does, at most ten times a second
	Look   func()                                 // the settings are to be looked at
	Yield  func()                                 // ends this process: a fresh Switchyard has the listeners now
}

// Open opens the gateway's port.
func Open(ctx context.Context, options Options) (_ *Door, err error) {
	v := &Door{options: options, changed: make(chan struct{}, 1), known: make(chan struct{}), details: map[string]detail{}, uses: map[string]time.Time{}}
	token, err := loadToken(options.Machine.Paths)
	if err != nil {
		return nil, fmt.Errorf("its token cannot be kept: %w", err)
	}
	v.tokens = []string{token}
	v.gateway = gateway.New(gateway.Options{
		Tokens: v.accepted, Upstream: v.upstream, Model: v.model, Revive: v.revive,
		Parallel: options.Machine.Config.Parallel, Changed: func() { wake.Notify(v.changed) }, Served: v.served,
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

// Run serves until close is called; it starts goroutines that end then.
func (v *Door) Run(ctx context.Context, owned *sync.WaitGroup) {
	for _, l := range v.Listeners {
		owned.Go(func() {
			if err := v.gateway.Serve(l); err != nil {
				v.options.Log.Error("the gateway stopped", "error", err)
			}
		})
	}
	owned.Go(func() { v.tell(ctx) })
}

// Watch keeps a guard for as long as the context lives. It is called once, and ends with closed.
func (v *Door) Watch(ctx context.Context) {
	if v.options.Program == "" {
		close(v.Guard.Done)
		return
	}
	go v.Guard.run(ctx)
}

// Busy tells whether an answer is on its way.
func (v *Door) Busy() bool { return v.gateway.Snapshot().Running > 0 }

// Close ends the gateway; requests in progress may take so long.
func (v *Door) Close(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = v.gateway.Shutdown(ctx)
}
