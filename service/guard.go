package service

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/wake"
)

// What a supervisor that ends in order tells its guard: to end too, or to serve the
// sessions that nothing can lead past the gateway (switchyard run) to their end.
const (
	farewell = "bye"
	stayOn   = "stay"
)

// A guard learns by its environment how many listeners it was given, and how
// many before it have taken a killed one's place without a fresh start.
const (
	guardVariable = "SWITCHYARD_GUARD"
	turnVariable  = "SWITCHYARD_GUARD_TURN"
)

// guardTurns is how many may follow each other: what kills one may kill the next.
const guardTurns = 5

// guard keeps a second process ready that takes the gateway over when this one is
// killed: it holds the same listening sockets, so that no request meets a closed
// port. It runs while Claude Code is pointed to the gateway.
type guard struct {
	door *door
	wake chan struct{}
	done chan struct{}

	mu       sync.Mutex
	inUse    bool      // Claude Code is pointed to the gateway
	staying  bool      // it goes on when this process ends
	expected time.Time // until then it may be in a moment
	up       chan struct{}
}

func newGuard(v *door) *guard {
	return &guard{door: v, wake: make(chan struct{}, 1), done: make(chan struct{}), up: make(chan struct{})}
}

const (
	guardPause  = time.Second     // before another one is started
	guardRetry  = time.Minute     // at most, when they keep ending
	guardExpect = 2 * time.Minute // from a switch that begins
	guardStart  = time.Second     // at most, that a switch waits for it
)

// want says whether Claude Code is pointed to the gateway.
func (g *guard) want(inUse bool) {
	g.mu.Lock()
	g.inUse = inUse
	g.mu.Unlock()
	wake.Notify(g.wake)
}

// soon starts the guard without waiting for it.
func (g *guard) soon() (up <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = time.Now().Add(guardExpect)
	wake.Notify(g.wake)
	return g.up
}

// expect starts the guard before a switch writes the gateway's address anywhere.
func (g *guard) expect(ctx context.Context) {
	up := g.soon()
	select {
	case <-up:
	case <-g.done:
	case <-ctx.Done():
	case <-time.After(guardStart):
	}
}

// wanted tells whether one is needed now; lapse, when not nil, is when to ask again.
func (g *guard) wanted() (wanted bool, lapse <-chan time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := time.Until(g.expected); left > 0 && !g.inUse {
		return true, time.After(left)
	}
	return g.inUse, nil
}

// isUp tells expect that the guard's process runs, or no longer does.
func (g *guard) isUp(running bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if running {
		close(g.up)
	} else {
		g.up = make(chan struct{})
	}
}

// run starts, restarts and ends the process.
func (g *guard) run(ctx context.Context) {
	defer close(g.done)
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
				g.door.options.log.Warn("no guard for the gateway", "error", err)
				ended, retry, pause = nil, time.After(pause), min(2*pause, guardRetry)
				break
			}
			g.isUp(true)
		case !wanted && ended != nil:
			dismiss(farewell)
			<-ended
			ended, pause = nil, guardPause
			g.isUp(false)
		}
		select {
		case <-ctx.Done():
			switch {
			case ended == nil:
			case g.stays():
				dismiss(stayOn)
			default:
				dismiss(farewell)
				<-ended
			}
			return
		case <-g.wake:
		case <-lapse:
		case <-ended:
			g.door.options.log.Warn("the gateway's guard ended; starting another one")
			ended, retry, pause = nil, time.After(pause), min(2*pause, guardRetry)
			g.isUp(false)
		case <-retry:
			retry = nil
		}
	}
}

// stay makes the guard go on when this process ends.
func (g *guard) stay() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.staying = true
}

func (g *guard) stays() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.staying
}

// start starts one process; dismiss tells it what to do now that this one ends.
func (g *guard) start() (ended <-chan struct{}, dismiss func(word string), err error) {
	cmd := exec.Command(g.door.options.Program, "guard")
	cmd.Args[0] = "switchyard" // for the process list
	cmd.Dir = g.door.options.yard.Home
	release, err := inherit(cmd, g.door.listeners)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	turn := g.door.options.yard.number(turnVariable)
	cmd.Env = append(os.Environ(), guardVariable+"="+strconv.Itoa(len(cmd.ExtraFiles)), turnVariable+"="+strconv.Itoa(turn+1))
	parent, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait()
		close(done)
	}()
	return done, func(word string) {
		_, _ = io.WriteString(parent, word)
		_ = parent.Close()
	}, nil
}

// Guard waits for the end of the process that started it, which it learns by its
// standard input. After an orderly end it ends too. Else it supervises in that
// one's place, without a tray, until another Switchyard starts or nothing is pointed
// to the gateway any more.
func Guard(ctx context.Context, y *Yard, log *slog.Logger, parent io.Reader) error {
	listeners := inherited(y.number(guardVariable))
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	resting := false
	said := make(chan string, 1)
	go func() { // ends with the process at the latest
		words, _ := io.ReadAll(bufio.NewReader(parent))
		said <- string(words)
	}()
	select {
	case <-ctx.Done():
		return nil
	case words := <-said:
		if words == farewell {
			return nil
		}
		resting = words == stayOn
	}
	if resting {
		log.Info("Switchyard ended; its guard serves the sessions of switchyard run to their end")
	} else {
		log.Warn("the Switchyard before was killed; its guard keeps the gateway up")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := NewSupervisor(y, log)
	program := Executable()
	if y.number(turnVariable) >= guardTurns {
		program = ""
	}
	s.Serve(Serve{Listeners: listeners, Program: program, IsGuard: true, Resting: resting})
	states := s.Subscribe()
	go func() { // ends with the supervisor
		for {
			select {
			case <-ctx.Done():
				return
			case state := <-states:
				if len(state.Targets) > 0 && !state.gatewayInUse() {
					stop()
				}
			}
		}
	}()
	return s.Run(ctx)
}

// number is a variable's value; 0 when it is none.
func (y *Yard) number(variable string) int {
	n, _ := strconv.Atoi(y.getenv(variable))
	return n
}

// Executable is the program that runs, also when its file was replaced or removed meanwhile.
func Executable() string {
	const self = "/proc/self/exe" // this very file, also when another one has taken its place
	if _, err := os.Stat(self); err == nil && runtime.GOOS == "linux" {
		return self
	}
	path, _ := os.Executable()
	return path
}

// gatewayInUse tells whether Claude Code is pointed to the gateway anywhere, by its
// settings or by a session's own.
func (s State) gatewayInUse() bool {
	if s.runs > 0 {
		return true
	}
	for _, t := range s.Targets {
		if t.Way == claude.Gateway {
			return true
		}
	}
	return false
}
