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
	// attendPause is between two looks at a pull of others.
	foreignPoll = time.Second
	// attendLimit is how long it may stand still before it counts as ended.
	foreignStall = time.Minute
	// attendNoise is what the disk's use changes by when no model comes.
	diskNoise = 1 << 20
	// attendSame is how long a model that is there already may take to be another one.
	foreignSameStall = 5 * time.Second
)

// begun finds the line that announces a pull in the runner's log (docker/model-runner
// v1.2.6, pkg/distribution/distribution/client.go). Nothing announces its end.
var pullLine = regexp.MustCompile(`msg="starting model pull".* reference="?([^"\s]+)`)

// Follow reads the log of a run, for the pulls of others. It is told of every look.
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

// read follows the log until it ends.
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
		p.options.Log.Info("the runner does not tell its log: its disk is looked at now and then", "error", err)
		p.pollStore(ctx, following, f, known)
		return
	}
	p.post(ctx, func() {
		if following.Err() == nil {
			p.logRun = "" // the next look follows again
		}
	})
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
func (p *Puller) onForeignPull(ctx context.Context, ref string, f localrunner.Instance) {
	for _, one := range p.pulls {
		if !one.State.Over() && runner.Full(one.Ref) == runner.Full(ref) {
			return // our own, or known
		}
	}
	p.pulls = slices.DeleteFunc(p.pulls, func(one *job) bool { return one.State.Over() && runner.Full(one.Ref) == runner.Full(ref) })
	p.count++
	one := &job{Pull: state.Pull{Ref: runner.Short(ref), State: state.Pulling, Others: true, N: p.count}}
	p.pulls = append(p.pulls, one)
	p.wg.Go(func() { p.followForeign(ctx, one, f) })
}

// attend looks at a pull of others until its model is there, or nothing moves.
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
	vanish := func() { // nothing came of it, and nobody asked us
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

// poll notices models that came while the disk's use grew. Asking for that leaves no
// trace in the runner's log.
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
			continue // another tag, or another context
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

// slowPoll is how often the disk's use is asked for where no log tells of pulls.
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

// arrived are the tags whose model was not there before under any tag.
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

// ids are the models by their tags.
func idsByTag(models []runner.Model) map[string]string {
	out := map[string]string{}
	for _, m := range models {
		for _, tag := range m.Tags {
			out[tag] = m.ID
		}
	}
	return out
}
