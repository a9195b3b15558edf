package tray

import (
	"strings"

	"github.com/switchyard-app/switchyard/assets"
	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// headline is route, model and context; what is being done, or a warning, takes its place.
func headline(s state.State) string {
	switch {
	case s.Busy != "":
		return words.T(s.Busy)
	case len(s.Warnings) > 0:
		return short("⚠ " + s.Warnings[0].Text)
	}
	parts := []string{title(s.Route)}
	if s.Model != "" {
		parts = append(parts, runner.Short(s.Model))
	}
	if s.Context > 0 {
		parts = append(parts, words.Tokens(s.Context))
	}
	return short("● " + strings.Join(parts, " · "))
}

// secondLine is the remedy of the warning above, or what is going on.
func secondLine(s state.State) string {
	if s.Busy != "" && s.Doubt.Text != "" {
		return short(s.Doubt.Text)
	}
	if s.Busy == "" && len(s.Warnings) > 0 {
		return short("→ " + s.Warnings[0].Remedy)
	}
	waiting := 0
	for _, t := range s.Targets {
		waiting += t.Waiting
	}
	if waiting > 0 {
		return words.T("settings will be restored when %s", words.Count(waiting, "session ends", "sessions end"))
	}
	var parts []string
	if line := gpuLine(s.VRAM); line != "" {
		parts = append(parts, line)
	}
	if n := len(s.Sessions); n > 0 {
		parts = append(parts, words.Count(n, "session", "sessions"))
	}
	if s.Gateway.TokensPerS > 0 {
		parts = append(parts, words.Speed(s.Gateway.TokensPerS))
	}
	if s.Gateway.Waiting > 0 {
		parts = append(parts, words.Count(s.Gateway.Waiting, "request waits", "requests wait"))
	}
	if len(parts) == 0 && s.Route != claude.Cloud {
		return words.T("no sessions") // the row stays: an open menu does not grow when a request comes
	}
	return strings.Join(parts, "  ·  ")
}

// gpuLine is how much graphics memory is taken, nothing when that is not known.
func gpuLine(v state.VRAM) string {
	free, total := gpu.Free(v.Devices), gpu.Total(v.Devices)
	if free < 0 || total <= 0 {
		return ""
	}
	const gib = 1 << 30
	return words.T("GPU %s / %s GiB", words.Decimal(float64(total-free)/gib, 1), words.Decimal(float64(total)/gib, 0))
}

// iconFor is the picture for a State.
func iconFor(s state.State) (assets.Glyph, assets.Badge) {
	glyph := map[claude.Route]assets.Glyph{claude.Local: assets.Chip, claude.Offline: assets.Airport}[s.Route]
	switch {
	case s.Busy != "":
		return glyph, assets.Busy
	case s.Route != claude.Cloud && (s.Runner.State == state.Stopped || s.Runner.State == state.Absent || s.Runner.State == state.RunnerFailed):
		return glyph, assets.Error
	case len(s.Warnings) > 0:
		return glyph, assets.Warning
	}
	return glyph, assets.NoBadge
}

// gaugeFor is how full the GPU's memory is, in quarters; in the cloud it is not needed.
func gaugeFor(s state.State) assets.Gauge {
	free, total := gpu.Free(s.VRAM.Devices), gpu.Total(s.VRAM.Devices)
	if s.Route == claude.Cloud || s.Route == "" || free < 0 || total <= 0 {
		return 0
	}
	quarter := (total - free) * int64(assets.FullGauge) / total
	return min(assets.Gauge(quarter)+1, assets.FullGauge)
}

// tooltip is the icon's text.
func tooltip(s state.State) string {
	text := "Switchyard: " + strings.TrimPrefix(headline(s), "● ")
	return strings.TrimSpace(text)
}
