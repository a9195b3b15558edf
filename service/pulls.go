package service

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"switchyard/service/claude"
	"switchyard/service/engine"
	"switchyard/service/runner"
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
	Ref     string    `json:"ref"` // as it was asked for
	State   PullState `json:"state"`
	Done    int64     `json:"done_bytes"`
	Total   int64     `json:"total_bytes"`       // 0 while it is unknown
	Rate    float64   `json:"bytes_per_s"`       // of the last seconds
	Left    float64   `json:"left_s"`            // 0 while it is unknown
	Others  bool      `json:"others,omitempty"`  // somebody else pulls it
	Updated bool      `json:"updated,omitempty"` // the tag was there, and is another model now
	Why     string    `json:"why,omitempty"`     // it failed, or waits
	Remedy  string    `json:"remedy,omitempty"`
	Size    int64     `json:"size_bytes,omitempty"` // when it is done
	Context int       `json:"context,omitempty"`    // when it is done
	N       int       `json:"n"`                    // counts the pulls, so that the same one twice is two

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
)

// puller pulls models, and notices when others do. Its one goroutine owns the list.
type puller struct {
	s     *Supervisor
	do    chan func() // in the loop
	n     int
	pulls []*pulling
	stop  context.CancelFunc // of the log that is followed
	run   string             // whose log that is
	wg    sync.WaitGroup
}

// pulling is a pull with what belongs to it.
type pulling struct {
	Pull
	cancel context.CancelFunc // nil: not begun
	ended  time.Time
	rate   rate
	heard  []chan Pull
}

func newPuller(s *Supervisor) *puller { return &puller{s: s, do: make(chan func())} }

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
		p.enqueue(ctx, ref)
	}
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
	p.s.fact(ctx, func(k *known) { k.pulls = list })
}

// enqueue adds a pull, or finds the one of the same model that is not over.
func (p *puller) enqueue(ctx context.Context, ref string) *pulling {
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
		one.State = Pulling
		var pull context.Context
		pull, one.cancel = context.WithCancel(ctx)
		p.wg.Go(func() { p.pull(ctx, pull, one) })
	}
}

// pull does one pull, over lost connections.
func (p *puller) pull(ctx, pull context.Context, one *pulling) {
	err := p.s.keeper.do(pull, nothing, true)
	if err == nil {
		err = p.tries(ctx, pull, one)
	}
	var size int64
	var tokens int
	if err == nil {
		if m, lookErr := p.client(ctx).Model(ctx, runner.Full(one.Ref)); lookErr == nil {
			size, tokens = m.Size, m.Context
		}
	}
	wish(p.s.lookRunner)
	cancelled := pull.Err() != nil
	p.post(ctx, func() {
		one.cancel()
		one.ended, one.Rate, one.Left = time.Now(), 0, 0
		switch {
		case err == nil:
			one.State, one.Size, one.Context, one.Done = Pulled, size, tokens, max(one.Done, one.Total)
		case cancelled:
			one.State, one.Why, one.Remedy = Cancelled, "", ""
		default:
			one.State = Failing
			one.Why, one.Remedy = pullWhy(err)
		}
		p.keep()
	})
}

func pullWhy(err error) (reason, remedy string) {
	var failed *runner.PullError
	if errors.As(err, &failed) {
		return failed.Why, failed.Remedy
	}
	return why(commandError("pulling", err))
}

func (p *puller) client(ctx context.Context) *runner.Client {
	return runner.NewClient(p.s.serving.runner(ctx).endpoint())
}

// tries pulls again and again while that may help.
func (p *puller) tries(ctx, pull context.Context, one *pulling) error {
	moved, told, best := time.Now(), time.Time{}, int64(0)
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
		if err == nil || !errors.As(err, &failed) || !failed.Again || time.Since(moved) > pullPatience || pull.Err() != nil {
			return err
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
	return room(ctx, client, ref, done, p.s.serving.runner(ctx).seen.Store)
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
		return &runner.PullError{Ref: ref, Why: fmt.Sprintf("it needs %s, and %s are free", Size(m.Size), Size(int64(free))),
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
func (p *puller) file() string { return filepath.Join(p.s.yard.Paths.State, "pulls.json") }

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
	if data, err := json.Marshal(refs); err == nil && os.MkdirAll(p.s.yard.Paths.State, 0o700) == nil {
		if err := os.WriteFile(p.file(), data, 0o600); err != nil {
			p.s.log.Warn("the pulls cannot be kept for the next start", "error", err)
		}
	}
}

// Pull begins a pull, or joins the one that runs, and returns what it hears of it,
// always the newest, until it is over. The error is an *Error.
func (s *Supervisor) Pull(ctx context.Context, ref string) (<-chan Pull, error) {
	if err := s.yard.mayPull(ref); err != nil {
		return nil, err
	}
	heard := make(chan Pull, 1)
	s.puller.post(ctx, func() {
		one := s.puller.enqueue(ctx, ref)
		one.heard = append(one.heard, heard)
	})
	return heard, ctx.Err()
}

// mayPull refuses when nothing may go out.
func (y *Yard) mayPull(ref string) error {
	for _, t := range y.Targets() {
		if now, err := y.ledger.Inspect(t); err == nil && now.Route == claude.Offline {
			return &Error{Kind: Refused, What: "pulling " + ref, Why: "the route is offline", Remedy: "go online first: switchyard local, or switchyard cloud"}
		}
	}
	return nil
}

// endAll ends our pulls when the route becomes offline.
func (p *puller) endAll(ctx context.Context) {
	p.post(ctx, func() {
		for _, one := range p.pulls {
			switch {
			case one.State.over() || one.Others:
			case one.cancel != nil:
				one.cancel()
			default:
				one.State, one.ended = Cancelled, time.Now()
			}
		}
		p.keep()
	})
}

// Pull pulls a model: the Switchyard that runs does it, so that it is resumed and
// shown; without one it is done here. each hears of every step.
func (y *Yard) Pull(ctx context.Context, ref string, each func(Pull)) (Pull, error) {
	what := "pulling " + ref
	if running, err := y.Supervised(ctx); err == nil {
		return running.pull(ctx, ref, each)
	}
	if err := y.mayPull(ref); err != nil {
		return Pull{}, err
	}
	f, err := y.find(ctx)
	if err != nil {
		return Pull{}, err
	}
	if f, err = y.bringUp(ctx, f, Progress{}); err != nil {
		return Pull{}, commandError(what, err)
	}
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	if err := room(ctx, client, ref, 0, f.seen.Store); err != nil {
		return Pull{}, commandError(what, err)
	}
	one := &pulling{Pull: Pull{Ref: ref, State: Pulling}}
	if err := client.Pull(ctx, ref, func(now runner.Progress) {
		one.progress(now)
		each(one.Pull)
	}); err != nil {
		return one.Pull, commandError(what, err)
	}
	one.State = Pulled
	if m, err := client.Model(ctx, runner.Full(ref)); err == nil {
		one.Size, one.Context = m.Size, m.Context
	}
	return one.Pull, nil
}

// pull has the Switchyard that runs pull. Ending the context ends the pull.
func (s *Supervised) pull(ctx context.Context, ref string, each func(Pull)) (last Pull, err error) {
	what := "pulling " + ref
	query := "?ref=" + url.QueryEscape(ref)
	defer func() {
		if ctx.Err() == nil {
			return
		}
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
		defer cancel()
		_ = s.ask(ending, http.MethodDelete, "/pull"+query, nil)
		err = &Error{Kind: Failed, What: what, Why: "it was cancelled", Remedy: "pull it again: it goes on where it ended", Err: ctx.Err()}
	}()
	resp, err := s.send(ctx, http.MethodPost, "/pull"+query)
	if err != nil {
		return last, &Error{Kind: Refused, What: what, Why: strings.TrimSpace(err.Error()), Remedy: "see switchyard status", Err: err}
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); !last.State.over(); each(last) {
		if err := dec.Decode(&last); err != nil {
			return last, &Error{Kind: Failed, What: what, Why: "Switchyard ended", Remedy: "start it again: switchyard; it goes on with the pull", Err: err}
		}
	}
	if last.State != Pulled {
		return last, &Error{Kind: Failed, What: what, Why: cmp.Or(last.Why, "it was cancelled"), Remedy: cmp.Or(last.Remedy, "pull it again: it goes on where it ended")}
	}
	return last, nil
}

// PullAndTell begins a pull; how it ends is in the State.
func (s *Supervisor) PullAndTell(ctx context.Context, ref string) {
	if _, err := s.Pull(ctx, ref); err != nil && ctx.Err() == nil {
		s.failed(ctx, "Could not pull "+ref, err)
	}
}

// CancelPull ends a pull; what was loaded is kept for the next one.
func (s *Supervisor) CancelPull(ctx context.Context, ref string) {
	s.puller.post(ctx, func() {
		for _, one := range s.puller.pulls {
			if one.Ref != ref || one.State.over() || one.Others {
				continue
			}
			if one.cancel != nil {
				one.cancel()
			} else {
				one.State, one.ended = Cancelled, time.Now()
				s.puller.keep()
			}
		}
	})
}

// begun finds the line that announces a pull in the runner's log (docker/model-runner
// v1.2.6, pkg/distribution/distribution/client.go). Nothing announces its end.
var begun = regexp.MustCompile(`msg="starting model pull".* reference="?([^"\s]+)`)

// follow reads the log of a run, for the pulls of others. It is told of every look.
func (p *puller) follow(ctx context.Context, l look) {
	run := l.seen.Run
	if run == "" {
		run = l.seen.URL + l.seen.Socket
	}
	up := l.asked() && l.api.err == nil
	p.post(ctx, func() {
		if up && run == p.run {
			return
		}
		if p.stop != nil {
			p.stop()
			p.stop = nil
		}
		if p.run = ""; !up {
			return
		}
		p.run = run
		var following context.Context
		following, p.stop = context.WithCancel(ctx)
		known := ids(l.api.models)
		p.wg.Go(func() { p.read(ctx, following, l.found, known) })
	})
}

// ids are the models by their tags.
func ids(models []runner.Model) map[string]string {
	out := map[string]string{}
	for _, m := range models {
		for _, tag := range m.Tags {
			out[tag] = m.ID
		}
	}
	return out
}

// read follows the log until it ends.
func (p *puller) read(ctx, following context.Context, f found, known map[string]string) {
	lines := &lineWriter{each: func(line string) {
		if m := begun.FindStringSubmatch(line); m != nil {
			p.post(ctx, func() { p.foreign(ctx, m[1], f) })
		}
	}}
	var err error
	if f.seen.Controlled && f.engine.Kind() != engine.Desktop {
		err = f.engine.Logs(following, lines, 0, true)
	} else {
		client := runner.NewClient(f.endpoint())
		defer client.Close()
		err = client.Logs(following, lines)
	}
	if err != nil && following.Err() == nil {
		p.s.log.Info("the runner does not tell its log: its disk is looked at now and then", "error", err)
		p.poll(ctx, following, f, known)
		return
	}
	p.post(ctx, func() {
		if following.Err() == nil {
			p.run = "" // the next look follows again
		}
	})
}

// slowPoll is how often the disk's use is asked for where no log tells of pulls.
const slowPoll = time.Minute

// poll notices models that came while the disk's use grew. Asking for that leaves no
// trace in the runner's log.
func (p *puller) poll(ctx, following context.Context, f found, known map[string]string) {
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	used, _ := client.DiskUsage(following)
	for {
		select {
		case <-following.Done():
			return
		case <-time.After(slowPoll):
		}
		now, err := client.DiskUsage(following)
		if err != nil || now == used {
			continue
		}
		grown := now - used
		used = now
		models, err := client.Models(following)
		if err != nil {
			continue
		}
		fresh := arrived(known, models)
		known = ids(models)
		if grown < attendNoise || len(fresh) == 0 {
			continue // another tag, or another context
		}
		p.post(ctx, func() {
			for _, one := range fresh {
				p.n++
				one.N = p.n
				p.pulls = append(p.pulls, &pulling{Pull: one, ended: time.Now()})
			}
		})
		wish(p.s.lookRunner)
	}
}

// arrived are the tags whose model was not there before under any tag.
func arrived(known map[string]string, models []runner.Model) (fresh []Pull) {
	old := map[string]bool{}
	for _, id := range known {
		old[id] = true
	}
	for _, m := range models {
		if old[m.ID] {
			continue
		}
		for _, tag := range m.Tags {
			fresh = append(fresh, Pull{Ref: runner.Short(tag), State: Pulled, Others: true, Updated: known[tag] != "", Size: m.Size, Context: m.Context})
		}
	}
	return fresh
}

// lineWriter hands whole lines on.
type lineWriter struct {
	each func(string)
	rest []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	const long = 64 << 10
	w.rest = append(w.rest, data...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			break
		}
		w.each(string(line))
		w.rest = rest
	}
	if len(w.rest) > long {
		w.rest = nil
	}
	return len(data), nil
}

// foreign notices a pull that somebody else began.
func (p *puller) foreign(ctx context.Context, ref string, f found) {
	for _, one := range p.pulls {
		if !one.State.over() && runner.Full(one.Ref) == runner.Full(ref) {
			return // our own, or known
		}
	}
	p.pulls = slices.DeleteFunc(p.pulls, func(one *pulling) bool { return one.State.over() && runner.Full(one.Ref) == runner.Full(ref) })
	p.n++
	one := &pulling{Pull: Pull{Ref: runner.Short(ref), State: Pulling, Others: true, N: p.n}}
	p.pulls = append(p.pulls, one)
	p.wg.Go(func() { p.attend(ctx, one, f) })
}

const (
	// attendPause is between two looks at a pull of others.
	attendPause = time.Second
	// attendLimit is how long it may stand still before it counts as ended.
	attendLimit = time.Minute
	// attendNoise is what the disk's use changes by when no model comes.
	attendNoise = 1 << 20
	// attendSame is how long a model that is there already may take to be another one.
	attendSame = 5 * time.Second
)

// attend looks at a pull of others until its model is there, or nothing moves.
func (p *puller) attend(ctx context.Context, one *pulling, f found) {
	client := runner.NewClient(f.endpoint())
	defer client.Close()
	tag := runner.Full(one.Ref)
	first := ""
	if models, err := client.Models(ctx); err == nil {
		first = ids(models)[tag]
	}
	start, _ := client.DiskUsage(ctx)
	used, moved := start, time.Now()
	over := func(end func()) {
		p.post(ctx, func() {
			one.ended, one.Rate, one.Left = time.Now(), 0, 0
			end()
		})
		wish(p.s.lookRunner)
	}
	vanish := func() { // nothing came of it, and nobody asked us
		p.pulls = slices.DeleteFunc(p.pulls, func(other *pulling) bool { return other == one })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(attendPause):
		}
		models, err := client.Models(ctx)
		if err != nil {
			over(vanish)
			return
		}
		if id := ids(models)[tag]; id != "" && id != first {
			m, _, _ := runner.Pick(models, tag)
			over(func() {
				one.State, one.Updated, one.Size, one.Context = Pulled, first != "", m.Size, m.Context
			})
			return
		}
		now, err := client.DiskUsage(ctx)
		if err == nil && now != used {
			used, moved = now, time.Now()
			p.post(ctx, func() { one.progress(runner.Progress{Done: max(now-start, 0)}) })
		}
		limit := attendLimit
		if first != "" && used-start < attendNoise {
			limit = attendSame
		}
		if time.Since(moved) > limit {
			over(vanish)
			return
		}
	}
}

// Text says in a line how a pull is.
func (p Pull) Text() string {
	parts := []string{runner.Short(runner.Full(p.Ref))}
	switch {
	case p.State == Queued:
		parts = append(parts, "queued")
	case p.State == Waiting:
		parts = append(parts, "waits: "+p.Why)
	case p.Total > 0:
		parts = append(parts, fmt.Sprintf("%d %%", 100*p.Done/p.Total))
	case p.Done > 0:
		parts = append(parts, Size(p.Done))
	}
	if p.Left > 0 {
		parts = append(parts, Duration(p.Left)+" left")
	}
	return strings.Join(parts, "  ")
}
