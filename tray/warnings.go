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
	"runner_failed":   words.Key("Model Runner fails"),
	"settings_broken": words.Key("Settings are ignored"),
	"vram_low":        words.Key("The GPU's memory is short"),
	"vram_out":        words.Key("The GPU's memory is full"),
	"gpu_unused":      words.Key("The GPU is not used"),

	"sessions_behind":  words.Key("Not every session followed"),
	"cloud_forbidden":  words.Key("A session is in the cloud"),
	"offline_leak":     words.Key("Not every session is offline"),
	"sessions_crowded": words.Key("More sessions than the model serves"),
	"queue_long":       words.Key("Requests wait long"),
	"two_models":       words.Key("Two models are needed at once"),
}

// kinds sorts the warnings that are told.
var kinds = map[string]Kind{
	"drift": Settings, "settings_broken": Settings, "runner_down": OfRunner, "runner_failed": OfRunner, "vram_low": Memory, "vram_out": Memory, "gpu_unused": Memory,
	"sessions_behind": Sessions, "cloud_forbidden": Sessions, "offline_leak": Sessions, "sessions_crowded": Sessions, "queue_long": Sessions, "two_models": Sessions,
}

// offers are what can be done about a warning at once.
func offers(code string) []Offer {
	switch code {
	case "runner_down", "runner_failed":
		return []Offer{{words.T("Start it"), Action{Do: ControlRunner, Want: service.StartRunner}}, {words.T("Open its log"), Action{Do: OpenRunnerLog}}}
	case "drift":
		return []Offer{{words.T("Back to cloud"), Action{Do: SwitchTo, Route: claude.Cloud}}}
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
