package tray

import (
	"github.com/switchyard-app/switchyard/service"
	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/words"
)

// tellAtOnce are the warnings that cannot wait until somebody opens the menu.
var tellAtOnce = map[string]bool{"drift": true, "runner_down": true, "runner_failed": true, "settings_broken": true, "vram_low": true, "vram_out": true, "gpu_unused": true,
	"sessions_behind": true, "offline_leak": true, "cloud_forbidden": true, "sessions_crowded": true, "queue_long": true, "two_models": true}

// lasting are warnings whose text changes while they last.
var lasting = map[string]bool{"sessions_behind": true, "offline_leak": true, "cloud_forbidden": true, "sessions_crowded": true, "queue_long": true, "two_models": true, "context_full": true}

var tellTitle = map[string]string{
	"drift":           words.Key("Settings were changed"),
	"runner_down":     words.Key("Model Runner is down"),
	"runner_failed":   words.Key("Model Runner has failed"),
	"settings_broken": words.Key("Settings are ignored"),
	"vram_low":        words.Key("GPU memory is low"),
	"vram_out":        words.Key("GPU memory is full"),
	"gpu_unused":      words.Key("The GPU is not used"),

	"sessions_behind":  words.Key("Not every session followed"),
	"cloud_forbidden":  words.Key("A session is in the cloud"),
	"offline_leak":     words.Key("Not every session is offline"),
	"sessions_crowded": words.Key("More sessions than the model can serve"),
	"queue_long":       words.Key("Requests are queueing"),
	"two_models":       words.Key("Two models are in use at once"),
}

// kinds sorts the warnings that are told.
var kinds = map[string]kind{
	"drift": kindSettings, "settings_broken": kindSettings, "runner_down": kindRunner, "runner_failed": kindRunner, "vram_low": kindMemory, "vram_out": kindMemory, "gpu_unused": kindMemory,
	"sessions_behind": kindSessions, "cloud_forbidden": kindSessions, "offline_leak": kindSessions, "sessions_crowded": kindSessions, "queue_long": kindSessions, "two_models": kindSessions,
}

// offers are what can be done about a warning at once.
func offers(code string) []offer {
	switch code {
	case "runner_down", "runner_failed":
		return []offer{{words.T("Start it"), action{Do: controlRunner, Want: service.StartRunner}}, {words.T("Open its log"), action{Do: openRunnerLog}}}
	case "drift":
		return []offer{{words.T("Back to cloud"), action{Do: switchTo, Route: claude.Cloud}}}
	}
	return nil
}

func has(warnings []service.Warning, w service.Warning) bool {
	for _, have := range warnings {
		if have.Code == w.Code && (have.Text == w.Text || lasting[w.Code]) {
			return true
		}
	}
	return false
}
