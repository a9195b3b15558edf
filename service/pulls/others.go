package pulls

import (
	"bytes"
	"cmp"
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/wake"
)

const (
	// foreignPoll is the pause between two looks at a pull of others.
	foreignPoll = time.Second
	// foreignStall is how long it may make no progress before it counts as ended.
	foreignStall = time.Minute
	// diskNoise is how much the disk usage may change without a pull.
	diskNoise = 1 << 20
	// foreignSameStall is foreignStall for a tag that exists already: it is often up to date.
	foreignSameStall = 5 * time.Second
)

// pullLine matches the line in the runner's log that announces a pull (docker/model-runner
// v1.2.6, pkg/distribution/distribution/client.go). Nothing announces its end.
var pullLine = regexp.MustCompile(`msg="starting model pull".* reference="?([^"\s]+)`)

// Follow reads the log of the current run, to find the pulls of others. Call it after every
// look.
func (p *Puller) Follow(ctx context.Context, l localrunner.Look) {
	run := l.Seen.Run
	if run == "" {
		run = l.Seen.URL + l.Seen.Socket
	}
	up := l.MayAnswer() && l.Status.Err == nil
	p.post(ctx, func() {
		if up && run == p.logRun {
			return
		}
		if p.stopLog != nil {
			p.stopLog()
			p.stopLog = nil
		}
		if p.logRun = ""; !up {
			return
		}
		p.logRun = run
		var following context.Context
		following, p.stopLog = context.WithCancel(ctx)
		known := idsByTag(l.Status.Models)
		p.wg.Go(func() { p.readLog(ctx, following, l.Instance, known) })
	})
}

// readLog reads the log until it ends; if there is none to read, it polls the store.
func (p *Puller) readLog(ctx, following context.Context, f localrunner.Instance, known map[string]string) {
	lines := &lineWriter{each: func(line string) {
		if m := pullLine.FindStringSubmatch(line); m != nil {
			p.post(ctx, func() { p.onForeignPull(ctx, m[1], f) })
		}
	}}
	var err error
	if f.Seen.Controlled && f.Engine.Kind() != engine.Desktop {
		err = f.Engine.Logs(following, lines, 0, true)
	} else {
		client := runner.NewClient(f.Endpoint())
		defer client.Close()
		err = client.Logs(following, lines)
	}
	if err != nil && following.Err() == nil {
		p.options.Log.Info("no log of the runner: looking for new models now and then", "error", err)
		p.pollStore(ctx, following, f, known)
		return
	}
	p.post(ctx, func() {
		if following.Err() == nil {
			p.logRun = "" // the next look reads again
		}
	})
}

// lineWriter calls each with every whole line.
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

// onForeignPull adds a pull found in the log, unless it is one of ours.
func (p *Puller) onForeignPull(ctx context.Context, ref string, f localrunner.Instance) {
	for _, one := range p.pulls {
		if !one.State.Over() && runner.Full(one.Ref) == runner.Full(ref) {
			return // ours, or known
		}
	}
	p.pulls = slices.DeleteFunc(p.pulls, func(one *job) bool { return one.State.Over() && runner.Full(one.Ref) == runner.Full(ref) })
	p.count++
	one := &job{Pull: state.Pull{Ref: runner.Short(ref), State: state.Pulling, Others: true, N: p.count}}
	p.pulls = append(p.pulls, one)
	p.wg.Go(func() { p.followForeign(ctx, one, f) })
}

// followForeign watches another program's pull until its model is there, or it stops
// making progress.
func (p *Puller) followForeign(ctx context.Context, one *job, f localrunner.Instance) {
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	tag := runner.Full(one.Ref)
	first := ""
	if models, err := client.Models(ctx); err == nil {
		first = idsByTag(models)[tag]
	}
	start, _ := client.DiskUsage(ctx)
	used, moved := start, time.Now()
	over := func(end func()) {
		p.post(ctx, func() {
			one.ended, one.Rate, one.Left = time.Now(), 0, 0
			end()
		})
		p.options.ModelsChanged()
	}
	vanish := func() { // it failed, and was not ours to report
		p.pulls = slices.DeleteFunc(p.pulls, func(other *job) bool { return other == one })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(foreignPoll):
		}
		models, err := client.Models(ctx)
		if err != nil {
			over(vanish)
			return
		}
		if id := idsByTag(models)[tag]; id != "" && id != first {
			m, _, _ := runner.Pick(models, tag)
			over(func() {
				one.State, one.Updated = state.PullDone, first != ""
				setResult(&one.Pull, m, p.options.VRAM())
			})
			return
		}
		now, err := client.DiskUsage(ctx)
		if err == nil && now != used {
			used, moved = now, time.Now()
			p.post(ctx, func() { one.setProgress(runner.Progress{Done: max(now-start, 0)}) })
		}
		limit := foreignStall
		if first != "" && used-start < diskNoise {
			limit = foreignSameStall
		}
		if time.Since(moved) > limit {
			over(vanish)
			return
		}
	}
}

// pollStore finds models that appear while the disk usage grows. Asking for the disk usage
// leaves no line in the runner's log.
func (p *Puller) pollStore(ctx, following context.Context, f localrunner.Instance, known map[string]string) {
	client := runner.NewClient(f.Endpoint())
	defer client.Close()
	used, _ := client.DiskUsage(following)
	index := p.watchStore(following, f)
	for {
		select {
		case <-following.Done():
			return
		case <-index:
		case <-time.After(storePoll):
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
		fresh := newTags(known, models)
		known = idsByTag(models)
		if grown < diskNoise || len(fresh) == 0 {
			continue // only another tag, or another context
		}
		p.post(ctx, func() {
			for _, one := range fresh {
				p.count++
				one.N = p.count
				p.pulls = append(p.pulls, &job{Pull: one, ended: time.Now()})
			}
		})
		p.options.ModelsChanged()
	}
}

// storePoll is how often pollStore asks.
const storePoll = time.Minute

// watchStore tells when the index of a store on this machine changes: Docker
// Desktop's and a plain binary's are in the home folder.
func (p *Puller) watchStore(ctx context.Context, f localrunner.Instance) <-chan struct{} {
	if kind := f.Engine.Kind(); kind != engine.Desktop && kind != engine.Process {
		return nil
	}
	dir := cmp.Or(f.Seen.Store, filepath.Join(p.options.Machine.Home, ".docker", "models"))
	return wake.OnFile(ctx, &p.wg, filepath.Join(dir, "models.json"), fsnotify.Create|fsnotify.Write)
}

// newTags are pulls for the tags of models that had no tag before.
func newTags(known map[string]string, models []runner.Model) (fresh []state.Pull) {
	old := map[string]bool{}
	for _, id := range known {
		old[id] = true
	}
	for _, m := range models {
		if old[m.ID] {
			continue
		}
		for _, tag := range m.Tags {
			fresh = append(fresh, state.Pull{Ref: runner.Short(tag), State: state.PullDone, Others: true, Updated: known[tag] != "", Size: m.Size, Context: m.Context})
		}
	}
	return fresh
}

// idsByTag maps tags to model ids.
func idsByTag(models []runner.Model) map[string]string {
	out := map[string]string{}
	for _, m := range models {
		for _, tag := range m.Tags {
			out[tag] = m.ID
		}
	}
	return out
}
