package tray

import (
	"slices"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/localrunner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// telling is how a warning is told that cannot wait until the user opens the menu.
type telling struct {
	title   string
	kind    kind
	lasting bool // its text changes while it lasts
	learned bool // who chose the model was told then: only what comes up in its use is news
}

var tellings = map[string]telling{
	"drift":           {words.Key("Settings were changed"), kindSettings, false, false},
	"settings_broken": {words.Key("Settings are ignored"), kindSettings, false, false},
	"runner_down":     {words.Key("Model Runner is down"), kindRunner, false, false},
	"runner_failed":   {words.Key("Model Runner has failed"), kindRunner, false, false},
	"vram_low":        {words.Key("GPU memory is low"), kindMemory, false, false},
	"vram_out":        {words.Key("GPU memory is full"), kindMemory, false, false},
	"gpu_unused":      {words.Key("The GPU is not used"), kindMemory, false, false},

	"model_no_tools":   {words.Key("The model calls no tools"), kindSessions, false, true},
	"sessions_behind":  {words.Key("Not every session followed"), kindSessions, true, false},
	"cloud_forbidden":  {words.Key("A session is in the cloud"), kindSessions, true, false},
	"offline_leak":     {words.Key("Not every session is offline"), kindSessions, true, false},
	"sessions_crowded": {words.Key("More sessions than the model can serve"), kindSessions, true, false},
	"queue_long":       {words.Key("Requests are queueing"), kindSessions, true, false},
	"two_models":       {words.Key("Two models are in use at once"), kindSessions, true, false},
}

// offers are what can be done about a warning at once.
func offers(code string) []offer {
	switch code {
	case "runner_down", "runner_failed":
		return []offer{{words.T("Start it"), action{Do: controlRunner, Want: localrunner.Start}}, {words.T("Open its log"), action{Do: openRunnerLog}}}
	case "drift":
		return []offer{{words.T("Back to cloud"), action{Do: switchTo, Route: claude.Cloud}}}
	}
	return nil
}

// has reports whether a warning was there before: the same text, or the same that lasts.
func has(warnings []state.Warning, w state.Warning) bool {
	return slices.ContainsFunc(warnings, func(have state.Warning) bool {
		return have.Code == w.Code && (have.Text == w.Text || tellings[w.Code].lasting)
	})
}
