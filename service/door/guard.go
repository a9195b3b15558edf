package door

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/wake"
)

// Guard keeps a second process ready that takes the gateway over when this one is
// killed: it holds the same listening sockets, so that no request meets a closed
// port. It runs while Claude Code is pointed to the gateway.
type Guard struct {
	door *Door
	wake chan struct{}
	Done chan struct{}

	mu       sync.Mutex
	inUse    bool      // Claude Code is pointed to the gateway
	staying  bool      // it goes on when this process ends
	expected time.Time // until then it may be in a moment
	up       chan struct{}
}

const (
	guardPause  = time.Second     // before another one is started
	guardRetry  = time.Minute     // at most, when they keep ending
	guardExpect = 2 * time.Minute // from a switch that begins
	guardStart  = time.Second     // at most, that a switch waits for it
)

// What a supervisor that ends in order tells its guard: to end too, or to serve the
// sessions that nothing can lead past the gateway (switchyard run) to their end.
const (
	Farewell = "bye"
	StayOn   = "stay"
)

// A guard learns by its environment how many listeners it was given, and how
// many before it have taken a killed one's place without a fresh start.
const (
	GuardVariable = "SWITCHYARD_GUARD"
	TurnVariable  = "SWITCHYARD_GUARD_TURN"
)

// GuardTurns is how many may follow each other: what kills one may kill the next.
const GuardTurns = 5

func newGuard(v *Door) *Guard {
	return &Guard{door: v, wake: make(chan struct{}, 1), Done: make(chan struct{}), up: make(chan struct{})}
}

// Want says whether Claude Code is pointed to the gateway.
func (g *Guard) SetInUse(inUse bool) {
	g.mu.Lock()
	g.inUse = inUse
	g.mu.Unlock()
	wake.Notify(g.wake)
}

// Stay makes the guard go on when this process ends.
func (g *Guard) Stay() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.staying = true
}

// soon starts the guard without waiting for it.
func (g *Guard) startSoon() (up <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = time.Now().Add(guardExpect)
	wake.Notify(g.wake)
	return g.up
}

// expect starts the guard before a switch writes the gateway's address anywhere.
func (g *Guard) expect(ctx context.Context) {
	up := g.startSoon()
	select {
	case <-up:
	case <-g.Done:
	case <-ctx.Done():
	case <-time.After(guardStart):
	}
}

// isUp tells expect that the guard's process runs, or no longer does.
func (g *Guard) setUp(running bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if running {
		close(g.up)
	} else {
		g.up = make(chan struct{})
	}
}

// run starts, restarts and ends the process.
func (g *Guard) run(ctx context.Context) {
	defer close(g.Done)
	pause := guardPause
	var ended <-chan struct{} // nil while none runs
	var dismiss func(word string)
	var retry <-chan time.Time // nil when none is awaited
	for {
		wanted, lapse := g.wanted()
		switch {
		case wanted && ended == nil && retry == nil:
			var err error
			if ended, dismiss, err = g.start(); err != nil {
				g.door.options.Log.Warn("no guard for the gateway", "error", err)
				ended, retry, pause = nil, time.After(pause), min(2*pause, guardRetry)
				break
			}
			g.setUp(true)
		case !wanted && ended != nil:
			dismiss(Farewell)
			<-ended
			ended, pause = nil, guardPause
			g.setUp(false)
		}
		select {
		case <-ctx.Done():
			switch {
			case ended == nil:
			case g.stays():
				dismiss(StayOn)
			default:
				dismiss(Farewell)
				<-ended
			}
			return
		case <-g.wake:
		case <-lapse:
		case <-ended:
			g.door.options.Log.Warn("the gateway's guard ended; starting another one")
			ended, retry, pause = nil, time.After(pause), min(2*pause, guardRetry)
			g.setUp(false)
		case <-retry:
			retry = nil
		}
	}
}

// wanted tells whether one is needed now; lapse, when not nil, is when to ask again.
func (g *Guard) wanted() (wanted bool, lapse <-chan time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := time.Until(g.expected); left > 0 && !g.inUse {
		return true, time.After(left)
	}
	return g.inUse, nil
}

func (g *Guard) stays() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.staying
}

// start starts one process; dismiss tells it what to do now that this one ends.
func (g *Guard) start() (ended <-chan struct{}, dismiss func(word string), err error) {
	cmd := exec.Command(g.door.options.Program, "guard")
	cmd.Args[0] = "switchyard" // for the process list
	cmd.Dir = g.door.options.Machine.Home
	release, err := inherit(cmd, g.door.Listeners)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	turn := g.door.options.Machine.EnvNumber(TurnVariable)
	cmd.Env = append(slices.Clone(g.door.options.Machine.Environ), GuardVariable+"="+strconv.Itoa(len(cmd.ExtraFiles)), TurnVariable+"="+strconv.Itoa(turn+1))
	parent, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() { // ends with the guard, which run waits for; one that stays outlives this process
		_ = cmd.Wait()
		close(done)
	}()
	return done, func(word string) {
		_, _ = io.WriteString(parent, word)
		_ = parent.Close()
	}, nil
}
