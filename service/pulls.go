package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// PullState is how a pull is.
type PullState string

const (
	Queued    PullState = "queued"
	Pulling   PullState = "pulling"
	Waiting   PullState = "waiting" // for the network or the runner, to go on where it ended
	Pulled    PullState = "done"
	Failing   PullState = "failed"
	Cancelled PullState = "cancelled"
)

// over tells whether nothing more will happen.
func (s PullState) over() bool { return s == Pulled || s == Failing || s == Cancelled }

// Pull is a model on its way into the runner's store, or one that came lately.
type Pull struct {
	Ref     string      `json:"ref"` // as it was asked for
	State   PullState   `json:"state"`
	Done    int64       `json:"done_bytes"`
	Total   int64       `json:"total_bytes"`       // 0 while it is unknown
	Rate    float64     `json:"bytes_per_s"`       // of the last seconds
	Left    float64     `json:"left_s"`            // 0 while it is unknown
	Others  bool        `json:"others,omitempty"`  // somebody else pulls it
	Updated bool        `json:"updated,omitempty"` // the tag was there, and is another model now
	Why     string      `json:"why,omitempty"`     // it failed, or waits
	Remedy  string      `json:"remedy,omitempty"`
	Size    int64       `json:"size_bytes,omitempty"` // when it is done
	Context int         `json:"context,omitempty"`    // when it is done
	Fit     gpu.Verdict `json:"fit,omitempty"`        // when it is done
	N       int         `json:"n"`                    // counts the pulls, so that the same one twice is two
}

const (
	// pullsAtOnce is how many the runner serves; a third one would hang.
	pullsAtOnce = 2
	// pullTell is how often progress is told.
	pullTell = 250 * time.Millisecond
	// pullPatience is how long a pull may stand still before it counts as failed.
	pullPatience = time.Hour
	// pullKept is how long an ended pull is shown.
	pullKept = 10 * time.Minute
	// reserve is what a pull must leave free on the disk.
	reserve = 1 << 30
	// pullEnd is how long before another pull's end one may have ended to be lost by it.
	pullEnd = 10 * time.Second
	// pullLosses is how often a model that Model Runner lost is pulled again.
	pullLosses = 5
)

// puller pulls models, and notices when others do. Its one goroutine owns the list.
type puller struct {
	options pullOptions
	do      chan func() // in the loop
	n       int
	pulls   []*pulling
	stop    context.CancelFunc // of the log that is followed
	run     string             // whose log that is
	wg      sync.WaitGroup
}

// pullOptions are what a puller works with, and whom it tells.
type pullOptions struct {
	yard *Yard
	log  *slog.Logger

	runner func(context.Context) found                  // waits until it is known
	start  func(ctx context.Context, person bool) error // returns when the runner answers
	vram   func() VRAM
	report func(context.Context, []Pull) // hears of every change
	came   func()                        // the runner's models have changed
}

// pulling is a pull with what belongs to it.
type pulling struct {
	Pull
	cancel  context.CancelFunc // nil: not begun
	ended   time.Time
	rate    rate
	resumed bool // of an earlier Switchyard
	begun   time.Time
	losses  int // how often Model Runner has lost it
	heard   []chan Pull
}

func newPuller(options pullOptions) *puller { return &puller{options: options, do: make(chan func())} }

// post has something done in the loop.
func (p *puller) post(ctx context.Context, f func()) {
	select {
	case p.do <- f:
	case <-ctx.Done():
	}
}

func (p *puller) loop(ctx context.Context) {
	defer p.wg.Wait()
	for _, ref := range p.unfinished() {
		p.enqueue(ref).resumed = true
	}
	p.begin(ctx)
	p.tell(ctx)
	tick := time.NewTicker(pullKept)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-p.do:
			f()
		case <-tick.C:
			p.pulls = slices.DeleteFunc(p.pulls, func(one *pulling) bool { return one.State.over() && time.Since(one.ended) > pullKept })
		}
		p.begin(ctx)
		p.tell(ctx)
	}
}

// tell puts the pulls into the State.
func (p *puller) tell(ctx context.Context) {
	list := make([]Pull, len(p.pulls))
	for i, one := range p.pulls {
		list[i] = one.Pull
		for _, c := range one.heard {
			select {
			case <-c: // the one before was not taken
			default:
			}
			c <- one.Pull
		}
		if one.State.over() {
			one.heard = nil
		}
	}
	p.options.report(ctx, list)
}

// enqueue adds a pull, or finds the one of the same model that is not over.
func (p *puller) enqueue(ref string) *pulling {
	for _, one := range p.pulls {
		if !one.State.over() && !one.Others && runner.Full(one.Ref) == runner.Full(ref) {
			return one
		}
	}
	p.pulls = slices.DeleteFunc(p.pulls, func(one *pulling) bool { return one.State.over() && runner.Full(one.Ref) == runner.Full(ref) })
	p.n++
	one := &pulling{Pull: Pull{Ref: ref, State: Queued, N: p.n}}
	p.pulls = append(p.pulls, one)
	p.keep()
	return one
}

// begin starts what may run.
func (p *puller) begin(ctx context.Context) {
	running := 0
	for _, one := range p.pulls {
		if one.cancel != nil && !one.State.over() {
			running++
		}
	}
	for _, one := range p.pulls {
		if running == pullsAtOnce {
			return
		}
		if one.State != Queued || one.Others {
			continue
		}
		running++
		one.State, one.begun = Pulling, time.Now()
		var pull context.Context
		pull, one.cancel = context.WithCancel(ctx)
		p.wg.Go(func() { p.pull(ctx, pull, one) })
	}
}

// pull does one pull, over lost connections.
func (p *puller) pull(ctx, pull context.Context, one *pulling) {
	err := p.options.start(pull, !one.resumed)
	if err == nil {
		err = p.tries(ctx, pull, one)
	}
	var m runner.Model
	if err == nil {
		client := p.client(ctx)
		m, _ = client.Model(ctx, runner.Full(one.Ref)) // without it the notice says less
		client.Close()
	}
	p.options.came()
	cancelled := pull.Err() != nil
	ended := make(chan []*pulling, 1)
	p.post(ctx, func() {
		one.cancel()
		one.ended, one.Rate, one.Left = time.Now(), 0, 0
		switch {
		case err == nil:
			one.State, one.Done = Pulled, max(one.Done, one.Total)
			one.arrived(m, p.options.vram())
		case cancelled:
			one.State, one.Why, one.Remedy = Cancelled, "", ""
		default:
			one.State = Failing
			one.Why, one.Remedy = pullWhy(err)
		}
		p.keep()
		ended <- p.endedBy(one)
	})
	select {
	case list := <-ended:
		p.again(ctx, list)
	case <-ctx.Done():
	}
}

// endedBy are the pulls that the end of one may have lost, itself among them.
func (p *puller) endedBy(last *pulling) (ended []*pulling) {
	since := time.Now().Add(-pullEnd)
	if last.losses > 0 { // the list from before it may have been put back
		since = last.begun
	}
	for _, one := range p.pulls {
		if one.State == Pulled && !one.Others && one.ended.After(since) {
			ended = append(ended, one)
		}
	}
	return ended
}

// again has those pulled again that Model Runner has lost after their end. Their
// weights are there still.
func (p *puller) again(ctx context.Context, ended []*pulling) {
	client := p.client(ctx)
	defer client.Close()
	for _, one := range ended {
		if !client.Lacks(ctx, one.Ref) || p.options.yard.mayPull(one.Ref) != nil {
			continue
		}
		p.post(ctx, func() {
			if one.State == Pulled && one.losses < pullLosses {
				one.losses++
				one.State, one.cancel = Queued, nil
				p.keep()
			}
		})
	}
}

// arrived notes what has come.
func (p *Pull) arrived(m runner.Model, v VRAM) {
	p.Size, p.Context = m.Size, m.Context
	p.Fit = gpu.Judge(gpu.Needs(shape(m), gpu.Setting{Context: m.Context}).Total, gpu.Free(v.Devices))
}

func pullWhy(err error) (reason, remedy string) {
	var failed *runner.PullError
	if errors.As(err, &failed) {
		return failed.Why, failed.Remedy
	}
	return why(commandError("pulling", err))
}

func (p *puller) client(ctx context.Context) *runner.Client {
	return runner.NewClient(p.options.runner(ctx).endpoint())
}

// tries pulls again and again while that may help.
func (p *puller) tries(ctx, pull context.Context, one *pulling) error {
	moved, told, best := time.Now(), time.Time{}, one.Done
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		client := p.client(pull)
		err := p.room(pull, client, one.Ref, best)
		if err == nil {
			err = client.Pull(pull, one.Ref, func(now runner.Progress) {
				if now.Done > best {
					best, moved, pause = now.Done, time.Now(), time.Second
				}
				if time.Since(told) < pullTell && now.Done < now.Total {
					return
				}
				told = time.Now()
				p.post(ctx, func() { one.progress(now) })
			})
		}
		client.Close()
		var failed *runner.PullError
		if errors.As(err, &failed) && failed.Missing && best > 0 { // a registry that gave a part of it has it
			failed.Again, failed.Why = true, "its registry cannot be reached"
		}
		if err == nil || failed == nil || !failed.Again || failed.Lost && one.losses == pullLosses || time.Since(moved) > pullPatience || pull.Err() != nil {
			return err
		}
		if failed.Lost {
			one.losses++
		}
		p.post(ctx, func() {
			if !one.State.over() {
				one.State, one.Rate, one.Left = Waiting, 0, 0
				one.Why, one.Remedy = failed.Why, "it goes on by itself"
			}
		})
		select {
		case <-pull.Done():
			return pull.Err()
		case <-time.After(pause):
		}
	}
}

// room refuses a model that the disk has no room for; done bytes of it are there.
func (p *puller) room(ctx context.Context, client *runner.Client, ref string, done int64) error {
	return room(ctx, client, ref, done, p.options.runner(ctx).seen.Store)
}

func room(ctx context.Context, client *runner.Client, ref string, done int64, store string) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := client.Remote(short, ref)
	if err != nil || m.Size == 0 {
		return nil // the pull itself says what is wrong
	}
	free, ok := freeAt(store)
	if need := m.Size - done + reserve; ok && int64(free) < need {
		return &runner.PullError{Ref: ref, Why: fmt.Sprintf("it needs %s, and %s are free", words.Size(m.Size), words.Size(int64(free))),
			Remedy: "make room (switchyard models prune), and pull it again"}
	}
	return nil
}

// freeAt is how many bytes are free where a folder is, or the nearest one above it
// that can be asked.
func freeAt(dir string) (free uint64, ok bool) {
	for dir != "" {
		if usage, err := disk.Usage(dir); err == nil && usage.Total > 0 {
			return usage.Free, true
		}
		if dir == filepath.Dir(dir) {
			return 0, false
		}
		dir = filepath.Dir(dir)
	}
	return 0, false
}

// progress takes a step over.
func (one *pulling) progress(now runner.Progress) {
	if one.State.over() {
		return
	}
	one.State, one.Why, one.Remedy = Pulling, "", ""
	if now.Done == 0 && now.Total == 0 {
		return
	}
	one.Done, one.Total = now.Done, now.Total
	one.Rate = one.rate.at(time.Now(), now.Done)
	one.Left = 0
	if one.Rate > 0 && one.Total > one.Done {
		one.Left = float64(one.Total-one.Done) / one.Rate
	}
}

// rate is the speed of the last seconds.
type rate struct {
	last time.Time
	done int64
	perS float64
}

// at takes a reading.
func (r *rate) at(now time.Time, done int64) float64 {
	const memory = 3 // seconds
	if r.last.IsZero() || done < r.done {
		r.last, r.done, r.perS = now, done, 0
		return 0
	}
	passed := now.Sub(r.last).Seconds()
	if passed < 0.1 {
		return r.perS
	}
	this := float64(done-r.done) / passed
	weight := min(passed/memory, 1)
	if r.perS == 0 {
		weight = 1
	}
	r.perS += weight * (this - r.perS)
	r.last, r.done = now, done
	return r.perS
}

// file holds the pulls that are not over, for the next start.
func (p *puller) file() string { return filepath.Join(p.options.yard.Paths.State, "pulls.json") }

func (p *puller) unfinished() (refs []string) {
	data, err := os.ReadFile(p.file())
	if err != nil || json.Unmarshal(data, &refs) != nil {
		return nil
	}
	return refs
}

func (p *puller) keep() {
	refs := []string{}
	for _, one := range p.pulls {
		if !one.State.over() && !one.Others {
			refs = append(refs, one.Ref)
		}
	}
	if len(refs) == 0 {
		_ = os.Remove(p.file())
		return
	}
	if data, err := json.Marshal(refs); err == nil && os.MkdirAll(p.options.yard.Paths.State, 0o700) == nil {
		if err := os.WriteFile(p.file(), data, 0o600); err != nil {
			p.options.log.Warn("the pulls cannot be kept for the next start", "error", err)
		}
	}
}

// Text says in a line how a pull is.
func (p Pull) Text() string {
	parts := []string{runner.Short(runner.Full(p.Ref))}
	switch {
	case p.State == Queued:
		parts = append(parts, words.T("queued"))
	case p.State == Waiting:
		parts = append(parts, words.T("waits: %s", p.Why))
	case p.Total > 0:
		parts = append(parts, fmt.Sprintf("%d %%", 100*p.Done/p.Total))
	case p.Done > 0:
		parts = append(parts, words.Size(p.Done))
	}
	if p.Left > 0 {
		parts = append(parts, words.T("%s left", words.Duration(p.Left)))
	}
	return strings.Join(parts, "  ")
}
