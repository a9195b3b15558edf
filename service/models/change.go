package models

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/words"
)

// Unload removes a model from memory, or all if name is empty. n is how many were unloaded.
func Unload(ctx context.Context, m *machine.Machine, name string) (n int, err error) {
	const what = "unloading"
	if name == "" {
		client, err := reach(ctx, m, what)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		loaded, err := client.Running(ctx)
		if err != nil {
			return 0, fault.Wrap(what, err)
		}
		for _, l := range loaded { // one by one, because unloading all at once drops their configuration
			one, err := client.Unload(ctx, l.Model)
			if err != nil {
				return n, fault.Wrap(what, err)
			}
			n += one
		}
		return n, nil
	}
	client, _, tag, err := pick(ctx, m, what, name)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if n, err = client.Unload(ctx, tag); err != nil {
		return 0, fault.Wrap(what, err)
	}
	return n, nil
}

// Remove removes a model's tag from the store. freed is how many bytes of disk that made
// free. With force, this may be the model that Claude Code uses.
func Remove(ctx context.Context, m *machine.Machine, name string, force bool) (tag string, freed int64, err error) {
	what := "removing " + name
	client, model, tag, err := pick(ctx, m, what, name)
	if err != nil {
		return "", 0, err
	}
	defer client.Close()
	if inUse(m)(tag, model.ID) && !force {
		return tag, 0, &fault.Error{Kind: fault.Refused, What: what, Why: "Claude Code is pointed to it", Remedy: "switch away first (switchyard cloud, or another model), or use --force"}
	}
	freed, err = remove(ctx, client, tag)
	if err != nil {
		return tag, 0, fault.Wrap(what, err)
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

// QuantiseCache sets the type in which a model's cache is stored: f16, q8_0 or q4_0. The
// model is unloaded; the next request loads it with the new type.
func QuantiseCache(ctx context.Context, m *machine.Machine, name, kind string) error {
	what := "changing the cache of " + name
	client, _, tag, err := pick(ctx, m, what, name)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Unload(ctx, tag); err != nil {
		return fault.Wrap(what, err)
	}
	if err := client.QuantiseCache(ctx, tag, kind); err != nil {
		return fault.Wrap(what, err)
	}
	return nil
}

var contextTag = regexp.MustCompile(`^(.*?)-?\d+k$`)

// resized is the tag for a copy of a model with another context: local/x:64k.
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

// Resize makes a model with the same weights but a context of that many tokens, and
// returns its tag. current reports whether Claude Code uses the old model; then the
// caller should switch.
func Resize(ctx context.Context, m *machine.Machine, name string, tokens int) (tag string, current bool, err error) {
	what := "changing the context of " + name
	client, model, from, err := pick(ctx, m, what, name)
	if err != nil {
		return "", false, err
	}
	defer client.Close()
	current = inUse(m)(from, model.ID)
	if model.Context == tokens {
		return from, current, nil
	}
	if trained := model.Trained; trained > 0 && tokens > trained {
		return "", current, &fault.Error{Kind: fault.Refused, What: what, Why: fmt.Sprintf("the model supports at most %s tokens", words.Tokens(trained)), Remedy: "ask for less"}
	}
	if tokens < runner.MinContext {
		return "", current, &fault.Error{Kind: fault.Refused, What: what, Why: fmt.Sprintf("Claude Code needs at least %s tokens", words.Tokens(runner.MinContext)), Remedy: "ask for more"}
	}
	tag = resized(from, tokens)
	err = client.Repackage(ctx, from, tag, tokens)
	var failed *runner.Error
	if errors.As(err, &failed) && failed.Status == http.StatusNotFound {
		return "", current, &fault.Error{Kind: fault.Refused, What: what, Why: "this needs Model Runner 1.0.15 or newer", Remedy: "update it: switchyard runner install --pull", Err: err}
	}
	if err != nil {
		return "", current, fault.Wrap(what, err)
	}
	made, err := client.Model(ctx, tag)
	if err != nil {
		return "", current, fault.Wrap(what, err)
	}
	if made.Context != tokens {
		return tag, current, &fault.Error{Kind: fault.Failed, What: what, Why: fmt.Sprintf("the runner would still load %s with %d tokens", runner.Short(tag), made.Context), Remedy: "see its log: switchyard runner logs"}
	}
	return tag, current, nil
}

// Preload loads a model into memory, and returns when it is loaded.
func Preload(ctx context.Context, m *machine.Machine, name string) (tag string, err error) {
	what := "loading " + name
	client, _, tag, err := pick(ctx, m, what, name)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if err := client.Preload(ctx, tag); err != nil {
		return tag, fault.Wrap(what, err)
	}
	return tag, nil
}
