package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// learned is what Switchyard found out about a model by using it. It is kept by the
// model's id, in the state folder.
type learned struct {
	Tools *bool     `json:"tools,omitempty"` // it calls tools; nil: nobody tried
	Used  time.Time `json:"used,omitzero"`   // when it was asked last
	Seen  time.Time `json:"seen,omitzero"`   // when it was first there

	// Took is what a load really took of the GPUs' memory, in bytes, by the context
	// in tokens.
	Took map[int]int64 `json:"took,omitempty"`
}

func (y *Yard) learnedFile() string { return filepath.Join(y.Paths.State, "models.json") }

func (y *Yard) learned() map[string]learned {
	known := map[string]learned{}
	if data, err := os.ReadFile(y.learnedFile()); err == nil {
		_ = json.Unmarshal(data, &known) // a broken file is learned anew
	}
	return known
}

// learn changes what is known of a model.
func (y *Yard) learn(id string, change func(*learned)) { y.learnAll([]string{id}, change) }

// learnWait bounds the wait for another process that learns. What cannot be noted is
// noted the next time.
const learnWait = 2 * time.Second

// learnAll changes what is known of several models. The lock is of the file, not of
// this process: flock excludes two descriptors of one process as well.
func (y *Yard) learnAll(ids []string, change func(*learned)) {
	if len(ids) == 0 {
		return
	}
	if os.MkdirAll(y.Paths.State, 0o700) != nil {
		return
	}
	lock := flock.New(y.learnedFile()+".lock", flock.SetPermissions(0o600)) // the tray and commands learn at the same time
	ctx, cancel := context.WithTimeout(context.Background(), learnWait)
	defer cancel()
	if ok, err := lock.TryLockContext(ctx, time.Millisecond); err != nil || !ok {
		return
	}
	defer func() { _ = lock.Close() }()
	known := y.learned()
	for _, id := range ids {
		one := known[id]
		change(&one)
		known[id] = one
	}
	data, err := json.Marshal(known)
	if err != nil {
		return
	}
	file, err := os.CreateTemp(y.Paths.State, "models-*.json")
	if err != nil {
		return
	}
	_, err = file.Write(data)
	if errors.Join(err, file.Close()) != nil || os.Rename(file.Name(), y.learnedFile()) != nil {
		_ = os.Remove(file.Name())
	}
}

// noteSeen notes models that were not there before.
func (y *Yard) noteSeen(models []runner.Model) {
	known := y.learned()
	var fresh []string
	for _, m := range models {
		if known[m.ID].Seen.IsZero() {
			fresh = append(fresh, m.ID)
		}
	}
	y.learnAll(fresh, func(l *learned) { l.Seen = time.Now() })
}

// learnFrom takes over what the proofs of a model showed.
func (y *Yard) learnFrom(model runner.Model, proofs []runner.Proof) {
	for _, p := range proofs {
		if p.Name == "tool_call" && p.Err == nil && model.ID != "" {
			y.learn(model.ID, func(l *learned) { l.Tools = &p.OK })
		}
	}
}

// describeModels adds what is loaded and what was learned.
func (y *Yard) describeModels(models []Model, loaded []runner.Loaded) []Model {
	known := y.learned()
	for i := range models {
		m := &models[i]
		m.Tools, m.Used = known[m.ID].Tools, known[m.ID].Used
		for _, l := range loaded {
			if runner.Full(l.Model) == m.Tag || l.Model == m.ID {
				m.Loaded, m.InUse = !l.Loading, l.InUse
			}
		}
	}
	return models
}

// reach finds the runner, brings it up and opens a client of it.
func (y *Yard) reach(ctx context.Context, what string) (*runner.Client, error) {
	f, err := y.find(ctx)
	if err != nil {
		return nil, err
	}
	if f, err = y.bringUp(ctx, f, Progress{}); err != nil {
		return nil, commandError(what, err)
	}
	return runner.NewClient(f.endpoint()), nil
}

// ListModels lists the models with all that is known of them.
func (y *Yard) ListModels(ctx context.Context) ([]Model, error) {
	const what = "listing the models"
	client, err := y.reach(ctx, what)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.Models(ctx)
	if err != nil {
		return nil, commandError(what, err)
	}
	loaded, _ := client.Running(ctx)
	y.noteSeen(all)
	return y.fits(y.describeModels(models(all), loaded), all, y.ReadVRAM(ctx)), nil
}

// pick opens a client and finds a model that a person names.
func (y *Yard) pick(ctx context.Context, what, name string) (client *runner.Client, m runner.Model, tag string, err error) {
	if client, err = y.reach(ctx, what); err != nil {
		return nil, m, "", err
	}
	all, err := client.Models(ctx)
	if err == nil {
		m, tag, err = runner.Pick(all, name)
	}
	if err != nil {
		client.Close()
		return nil, m, "", commandError(what, err)
	}
	return client, m, tag, nil
}

// Load takes a model into memory and returns when it is there.
func (y *Yard) Load(ctx context.Context, name string) (tag string, err error) {
	what := "loading " + name
	client, _, tag, err := y.pick(ctx, what, name)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if err := client.Preload(ctx, tag); err != nil {
		return tag, commandError(what, err)
	}
	return tag, nil
}

// Unload takes a model out of memory, or all of them when name is empty. It returns how many that were.
func (y *Yard) Unload(ctx context.Context, name string) (n int, err error) {
	const what = "unloading"
	if name == "" {
		client, err := y.reach(ctx, what)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		loaded, err := client.Running(ctx)
		if err != nil {
			return 0, commandError(what, err)
		}
		for _, l := range loaded { // one by one: "all" would drop their configuration
			one, err := client.Unload(ctx, l.Model)
			if err != nil {
				return n, commandError(what, err)
			}
			n += one
		}
		return n, nil
	}
	client, _, tag, err := y.pick(ctx, what, name)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if n, err = client.Unload(ctx, tag); err != nil {
		return 0, commandError(what, err)
	}
	return n, nil
}

// Remove takes a model's tag away, and returns what that freed, in bytes. The model
// that Claude Code is pointed to is refused unless forced.
func (y *Yard) Remove(ctx context.Context, name string, force bool) (tag string, freed int64, err error) {
	what := "removing " + name
	client, m, tag, err := y.pick(ctx, what, name)
	if err != nil {
		return "", 0, err
	}
	defer client.Close()
	if y.inUse()(tag, m.ID) && !force {
		return tag, 0, &Error{Kind: Refused, What: what, Why: "Claude Code is pointed to it", Remedy: "switch away first (switchyard cloud, or another model), or use --force"}
	}
	freed, err = remove(ctx, client, tag)
	if err != nil {
		return tag, 0, commandError(what, err)
	}
	return tag, freed, nil
}

func remove(ctx context.Context, client *runner.Client, tag string) (freed int64, err error) {
	before, beforeErr := client.DiskUsage(ctx)
	if _, err := client.Unload(ctx, tag); err != nil {
		return 0, err
	}
	if err := client.Remove(ctx, tag); err != nil {
		return 0, err
	}
	if after, err := client.DiskUsage(ctx); err == nil && beforeErr == nil {
		freed = max(before-after, 0)
	}
	return freed, nil
}

// inUse looks which models Claude Code is pointed to.
func (y *Yard) inUse() func(tag, id string) bool {
	targets := y.Targets()
	if switched, err := y.ledger.Switched(); err == nil {
		targets = append(targets, switched...)
	}
	used := map[string]bool{}
	for _, t := range targets {
		if now, err := y.ledger.Inspect(t); err == nil && now.Route != claude.Cloud {
			used[now.Model] = true
		}
	}
	return func(tag, id string) bool { return used[tag] || used[id] }
}

// Unused are the models that nobody has used for so long, counted from when
// Switchyard first saw them; never the one in use, the chosen one or a loaded one.
func (y *Yard) Unused(ctx context.Context, older time.Duration) ([]Model, error) {
	all, err := y.ListModels(ctx)
	if err != nil {
		return nil, err
	}
	chosen, known, inUse := runner.Full(y.chosen()), y.learned(), y.inUse()
	return slices.DeleteFunc(all, func(m Model) bool {
		last := known[m.ID].Used
		if seen := known[m.ID].Seen; seen.After(last) {
			last = seen
		}
		return m.Loaded || m.Tag == chosen || inUse(m.Tag, m.ID) || older > 0 && (last.IsZero() || time.Since(last) < older)
	}), nil
}

// Outdated are the models whose tag is another model in its registry by now. Those
// that were made here have no registry, and one that cannot be asked is left out.
func (y *Yard) Outdated(ctx context.Context, name string) (outdated []Model, err error) {
	const what = "looking for newer models"
	if err := y.mayPull("newer models"); err != nil {
		return nil, err
	}
	client, err := y.reach(ctx, what)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	all, err := client.Models(ctx)
	if err == nil && name != "" {
		var one runner.Model
		if one, name, err = runner.Pick(all, name); err == nil {
			one.Tags = []string{name}
			all = []runner.Model{one}
		}
	}
	if err != nil {
		return nil, commandError(what, err)
	}
	for _, m := range models(all) {
		if strings.HasPrefix(m.Tag, "docker.io/local/") {
			continue
		}
		if remote, err := client.Remote(ctx, m.Tag); err == nil && remote.ID != "" && remote.ID != m.ID {
			outdated = append(outdated, m)
		}
	}
	return outdated, nil
}

// QuantiseCache has a model's cache stored as f16, q8_0 or q4_0. The model is taken
// out of memory first; the next request loads it anew.
func (y *Yard) QuantiseCache(ctx context.Context, name, kind string) error {
	what := "changing the cache of " + name
	client, _, tag, err := y.pick(ctx, what, name)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Unload(ctx, tag); err != nil {
		return commandError(what, err)
	}
	if err := client.QuantiseCache(ctx, tag, kind); err != nil {
		return commandError(what, err)
	}
	return nil
}

var contextTag = regexp.MustCompile(`^(.*?)-?\d+k$`)

// resized is the tag of a model with another context: local/x:64k.
func resized(tag string, tokens int) string {
	name, version, _ := strings.Cut(tag[strings.LastIndexByte(tag, '/')+1:], ":")
	if m := contextTag.FindStringSubmatch(version); m != nil && strings.Contains(tag, "/local/") {
		version = m[1]
	}
	size := fmt.Sprint(tokens)
	if tokens%1024 == 0 {
		size = fmt.Sprintf("%dk", tokens/1024)
	}
	if version == "" || version == "latest" {
		return "docker.io/local/" + name + ":" + size
	}
	return "docker.io/local/" + name + ":" + version + "-" + size
}

// Resize makes a model of the same weights that is loaded with another context, in
// tokens, and returns its tag. Where Claude Code is pointed to the old one, it is
// for the caller to switch.
func (y *Yard) Resize(ctx context.Context, name string, tokens int) (tag string, current bool, err error) {
	what := "changing the context of " + name
	client, m, from, err := y.pick(ctx, what, name)
	if err != nil {
		return "", false, err
	}
	defer client.Close()
	current = y.inUse()(from, m.ID)
	if m.Context == tokens {
		return from, current, nil
	}
	if trained := m.Trained; trained > 0 && tokens > trained {
		return "", current, &Error{Kind: Refused, What: what, Why: fmt.Sprintf("it was made for at most %s tokens", words.Tokens(trained)), Remedy: "ask for less"}
	}
	if tokens < runner.MinContext {
		return "", current, &Error{Kind: Refused, What: what, Why: fmt.Sprintf("Claude Code cannot work in less than %s tokens", words.Tokens(runner.MinContext)), Remedy: "ask for more"}
	}
	tag = resized(from, tokens)
	err = client.Repackage(ctx, from, tag, tokens)
	var failed *runner.Error
	if errors.As(err, &failed) && failed.Status == http.StatusNotFound {
		return "", current, &Error{Kind: Refused, What: what, Why: "this Model Runner is older than 1.0.15 and cannot", Remedy: "get a newer one: switchyard runner install --pull", Err: err}
	}
	if err != nil {
		return "", current, commandError(what, err)
	}
	made, err := client.Model(ctx, tag)
	if err != nil {
		return "", current, commandError(what, err)
	}
	if made.Context != tokens {
		return tag, current, &Error{Kind: Failed, What: what, Why: fmt.Sprintf("the runner will load %s with %d tokens all the same", runner.Short(tag), made.Context), Remedy: "see its log: switchyard runner logs"}
	}
	return tag, current, nil
}
