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

// Guard keeps a second process that takes over the gateway if this one is killed. It holds
// the same listening sockets, so that no request meets a closed port. It runs while Claude
// Code is pointed to the gateway.
type Guard struct {
	door *Door
	wake chan struct{}
	Done chan struct{} // closed when no guard will be started any more

	mu       sync.Mutex
	inUse    bool          // Claude Code is pointed to the gateway
	staying  bool          // the guard goes on when this process ends
	expected time.Time     // until then Claude Code may be pointed to it at any moment
	up       chan struct{} // closed while the process runs
}

const (
	guardPause  = time.Second     // before another guard is started
	guardRetry  = time.Minute     // at most, if guards keep ending
	guardExpect = 2 * time.Minute // after a switch began
	guardStart  = time.Second     // how long a switch waits for the guard at most
)

// What a supervisor writes to its guard when it quits: to end as well, or to serve the
// remaining sessions of switchyard run, which cannot be pointed elsewhere.
const (
	Farewell = "bye"
	StayOn   = "stay"
)

// The variables that tell a guard how many listeners it inherited, and how many guards in
// a row have taken over without a new start.
const (
	GuardVariable = "SWITCHYARD_GUARD"
	TurnVariable  = "SWITCHYARD_GUARD_TURN"
)

// GuardTurns is how many guards may take over in a row: what kills one may kill the next.
const GuardTurns = 5

func newGuard(v *Door) *Guard {
	return &Guard{door: v, wake: make(chan struct{}, 1), Done: make(chan struct{}), up: make(chan struct{})}
}

// SetInUse says whether Claude Code is pointed to the gateway.
func (g *Guard) SetInUse(inUse bool) {
	g.mu.Lock()
	g.inUse = inUse
	g.mu.Unlock()
	wake.Notify(g.wake)
}

// Stay makes the guard continue when this process ends.
func (g *Guard) Stay() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.staying = true
}

// startSoon starts the guard. up is closed when it runs.
func (g *Guard) startSoon() (up <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = time.Now().Add(guardExpect)
	wake.Notify(g.wake)
	return g.up
}

// expect starts the guard and waits for it, before a switch writes the gateway's address
// anywhere.
func (g *Guard) expect(ctx context.Context) {
	up := g.startSoon()
	select {
	case <-up:
	case <-g.Done:
	case <-ctx.Done():
	case <-time.After(guardStart):
	}
}

// setUp notes that the guard's process runs, or has ended.
func (g *Guard) setUp(running bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if running {
		close(g.up)
	} else {
		g.up = make(chan struct{})
	}
}

// run starts the process when it is needed, restarts it, and ends it.
func (g *Guard) run(ctx context.Context) {
	defer close(g.Done)
	pause := guardPause
	var ended <-chan struct{} // of the process; nil: none is running
	var dismiss func(word string)
	var retry <-chan time.Time // receives when to start it again; nil: not waiting
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

// wanted reports whether a guard is needed now. lapse receives when to ask again.
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

// start starts a process. dismiss sends it Farewell or StayOn.
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
