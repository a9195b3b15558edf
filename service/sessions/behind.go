package sessions

import (
	"strings"
	"time"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

// follows is how long a session may take to follow a switch before it counts as behind.
const follows = 3 * time.Second

// behind sets Behind, with a reason and a remedy, if the session did not follow the last
// switch of its target.
func behind(s *state.Session, f Fact, target claude.Status) {
	old := !f.Started().IsZero() && f.Started().Before(target.Since) // older than the switch
	here := target.Route != claude.Cloud
	say := func(reason, remedy string) { s.Behind, s.Reason, s.Remedy = true, reason, remedy }
	switch {
	case s.PinnedBy == "switchyard run":
	case here && s.Route == claude.Cloud && f.pin == "--settings":
		say(words.T("its command line pins it (--settings)"), words.T("end it, and start it without --settings"))
	case here && s.Route == claude.Cloud && f.effective.Provider != "":
		say(words.T("%s sends it elsewhere, whatever the settings say", f.effective.Provider), words.T("end it, and start it without that"))
	case here && s.Route == claude.Cloud && f.effective.Ignores != "":
		say(words.T("%s makes it ignore the settings", f.effective.Ignores), words.T("end it, and start it without that, or with switchyard run"))
	case here && s.Route == claude.Cloud && f.pin != "":
		say(words.T("%s takes precedence", f.pin), words.T("switch only its project: switchyard local --project %s", f.CWD))
	case here && s.Route == claude.Cloud:
		say(words.T("it does not read the settings that were switched"), words.T("end it and start it again"))
	case !here && s.Route != claude.Cloud && s.Route != state.Unknown && f.pin != "" && old:
		say(words.T("%s keeps it on the local model", f.pin), words.T("end it and start it again"))
	case !here && s.Route == claude.Local && f.pin == "" && old:
		say(words.T("it still uses the local model"), words.T("if it is still retrying (for up to 3 minutes): press Esc there, then send the prompt again"))
	case s.Route == state.Unknown && s.Remedy != "" && here:
		s.Behind = true
	case target.Route == claude.Offline && s.Route == claude.Local && f.pin == "":
		say(words.T("it started before the switch to offline: Claude Code may still contact other servers"), words.T("start it again: /exit, then claude --continue"))
	case here && target.Way != claude.Gateway && s.Route == claude.Local && f.effective.ModelBy != "" && claude.CloudName(f.effective.Model):
		say(words.T("%s makes it ask for %s, which Model Runner does not have", f.effective.ModelBy, f.effective.Model), words.T("choose /model opus there: it means the local model"))
	case here && s.Route != claude.Cloud && f.effective.ModelBy != "" && !claude.CloudName(f.effective.Model) && runner.Full(f.effective.Model) != target.Model:
		say(words.T("%s makes it ask for %s", f.effective.ModelBy, f.effective.Model), words.T("choose /model opus there: it means the chosen model"))
	case !here && s.Route == claude.Cloud && f.effective.ModelBy != "" && strings.Contains(f.effective.Model, "/") && !claude.CloudName(f.effective.Model) && old:
		say(words.T("%s makes it ask the cloud for %s", f.effective.ModelBy, f.effective.Model), words.T("choose another model with /model there"))
	}
}
