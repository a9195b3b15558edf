package keeper

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/switchyard-app/switchyard/service/localrunner"
)

// giveUp sets the reason why the runner is not started again, with what its log says.
func (k *Keeper) giveUp(ctx context.Context, reason string) {
	k.reason = reason
	if reason == "" {
		k.reason = fmt.Sprintf("it ended %d times in ten minutes", len(k.policy.crashes))
		if k.last.Seen.Why != "" {
			k.reason += ", last because " + k.last.Seen.Why
		}
	}
	k.remedy = "see its log (switchyard runner logs), then start it: switchyard runner start"
	var log bytes.Buffer
	ctx, cancel := context.WithTimeout(ctx, localrunner.Quick)
	defer cancel()
	if k.engine.Logs(ctx, &log, 200, false) == nil {
		if lines := errorLines(log.String()); len(lines) > 0 {
			k.reason += ". Its log says: " + strings.Join(lines, " / ")
		}
	}
	k.options.Log.Error("Model Runner keeps ending; not starting it again", "crashes", len(k.policy.crashes))
}

var (
	errorLine = regexp.MustCompile(`(?i)\b(error|fatal|panic|failed|cannot|unable|out of memory|no such|denied|already in use|terminated|killed|segmentation|signal)\b`)
	// promptLine matches lines that may hold parts of a prompt.
	promptLine = regexp.MustCompile(`(?i)"?(content|messages|prompt|text|system)"?\s*[:=]`)
)

// errorLines are the last lines of a log that say what went wrong, shortened, and
// without any that may hold parts of a prompt.
func errorLines(log string) (lines []string) {
	const few, long = 2, 160
	all := strings.Split(log, "\n")
	for i := len(all) - 1; i >= 0 && len(lines) < few; i-- {
		line := strings.Join(strings.Fields(all[i]), " ")
		if !errorLine.MatchString(line) || promptLine.MatchString(line) {
			continue
		}
		if runes := []rune(line); len(runes) > long {
			line = string(runes[:long]) + "…"
		}
		if len(lines) > 0 && lines[0] == line {
			continue
		}
		lines = append([]string{line}, lines...)
	}
	return lines
}
