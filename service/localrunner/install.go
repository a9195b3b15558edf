package localrunner

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/fault"
	"github.com/switchyard-app/switchyard/service/machine"
)

// Install installs the runner in Docker, or installs it again with other options, and
// points Claude Code to its new port if that changed. progress is called with what is
// being done.
func Install(ctx context.Context, m *machine.Machine, how engine.Install, progress func(string)) error {
	const what = "installing Model Runner"
	e, err := Engine(ctx, m, false)
	if err != nil {
		return err
	}
	if how.GPU == "" && runtime.GOOS == "linux" && len(gpu.Present("/")) == 0 {
		how.GPU = "none"
	}
	before := Instance{e, e.Look(ctx)}
	installer, ok := e.(engine.Installer)
	switch {
	case ok:
	case before.Seen.Named != "":
		return &fault.Error{Kind: fault.Refused, What: what, Why: before.Seen.Named + " says that Model Runner is at " + before.Seen.URL, Remedy: "unset it to install one in Docker"}
	case m.Config.Engine != "":
		return &fault.Error{Kind: fault.Refused, What: what, Why: `"engine" in config.toml says that Switchyard runs Model Runner itself, which needs no installation`, Remedy: `set it to "container" to install one in Docker`}
	default: // not installed yet: install it in Docker
		asked := *m
		asked.Config.Engine = string(engine.Container)
		return Install(ctx, &asked, how, progress)
	}
	if err := installer.Install(ctx, how, progress); err != nil {
		return Explain(m, "", err)
	}
	m.RememberStop(false)
	ctx, cancel := context.WithTimeout(ctx, EffortTime)
	defer cancel()
	if err := UntilHealthy(ctx, e); err != nil {
		return Explain(m, "", err)
	}
	if before.Seen.State != engine.Absent {
		m.FollowRunner(ctx, slog.New(slog.DiscardHandler), before.Endpoint().BaseURL(), Instance{e, e.Look(ctx)}.Endpoint().BaseURL())
	}
	return nil
}
