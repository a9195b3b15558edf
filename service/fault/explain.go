package fault

import (
	"context"
	"errors"
	"strings"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
)

// Wrap makes an Error of any error; what says what was tried. The kind, reason and remedy
// come from the error if it has them.
func Wrap(what string, err error) error {
	e := &Error{Kind: Failed, What: what, Why: err.Error(), Remedy: "try again; if it stays, switchyard status shows what is wrong", Err: err}
	var ours *Error
	var refusal *claude.Refusal
	var busy *claude.BusyError
	var proof *runner.ProofError
	var unknown *runner.UnknownModelError
	var failed *runner.Error
	var pull *runner.PullError
	switch {
	case errors.As(err, &ours):
		e.Kind, e.Why, e.Remedy = ours.Kind, ours.Why, ours.Remedy
	case errors.As(err, &pull):
		e.Why, e.Remedy = pull.Why, pull.Remedy
	case errors.As(err, &refusal):
		e.Kind, e.Why, e.Remedy = Refused, refusal.Where()+": "+refusal.Why, refusal.Remedy
	case errors.As(err, &busy):
		e.Kind, e.Why, e.Remedy = Refused, busy.Error(), "try again when it is done"
	case errors.Is(err, context.Canceled):
		e.Why, e.Remedy = "it was interrupted", "nothing was changed; try again"
	case errors.As(err, &unknown):
		e.Kind, e.Why, e.Remedy = Refused, unknown.Why(), unknown.Remedy()
	case errors.As(err, &failed) && failed.Unreachable():
		e.Kind, e.Why, e.Remedy = Unreachable, "Model Runner at "+failed.Endpoint.String()+": "+failed.Why, failed.Remedy
	case errors.As(err, &proof):
		e.Kind, e.Why, e.Remedy = Refused, proofWords[proof.Proof.Name]+": "+proof.Proof.Detail, proof.Proof.Remedy
	case errors.As(err, &failed):
		e.Kind, e.Why, e.Remedy = Unreachable, "Model Runner at "+failed.Endpoint.String()+": "+failed.Why, failed.Remedy
	}
	e.Why, e.Remedy = strings.TrimSuffix(e.Why, "."), strings.TrimSuffix(e.Remedy, ".")
	return e
}

// WrapRefused is Wrap for an error before anything was changed: the kind is Refused, not
// Failed.
func WrapRefused(what string, err error) error {
	var e *Error
	if errors.As(Wrap(what, err), &e) && e.Kind == Failed {
		e.Kind = Refused
	}
	return e
}

// WrapEngine makes an Error of an engine's error; what says what was tried.
func WrapEngine(what string, err error) *Error {
	e := &Error{Kind: Failed, What: what, Why: err.Error(), Remedy: "try again", Err: err}
	var ours *engine.Error
	if errors.As(err, &ours) {
		e.Why, e.Remedy = ours.Why, ours.Remedy
		switch ours.Code {
		case engine.Failed:
		case engine.NotOurs, engine.NotInstalled, engine.NoPlugin, engine.NoProgram, engine.NoLlamaServer, engine.PortTaken, engine.DockerDenied, engine.DockerRemote, engine.NoDocker:
			e.Kind = Refused
		default:
			e.Kind = Unreachable
		}
	}
	return e
}

// Explain returns why something failed and what to do about it, for warnings.
func Explain(err error) (reason, remedy string) {
	var refusal *claude.Refusal
	var ours *Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Where() + ": " + refusal.Why, refusal.Remedy
	case errors.As(err, &ours):
		return ours.Why, ours.Remedy
	}
	return err.Error(), "try again"
}

// Text is Explain in two lines.
func Text(err error) string {
	reason, remedy := Explain(err)
	return reason + "\n→ " + remedy
}

// RunnerReason is why a request to the runner failed, in a few words.
func RunnerReason(err error) string {
	var failed *runner.Error
	if errors.As(err, &failed) {
		return failed.Why
	}
	return err.Error()
}

// proofWords say what it means that a proof fails.
var proofWords = map[string]string{
	"runner":         "Model Runner does not work",
	"model":          "the model is not available",
	"context":        "the context is too small",
	"message":        "the model does not answer",
	"system_message": "the model cannot take Claude Code's requests",
	"tool_call":      "the model cannot call tools",
	"tool_result":    "the model cannot take the results of tools",
	"two_calls":      "the model cannot take two tool calls in one turn",
	"cloud_history":  "the model cannot go on with a conversation that began in the cloud",
	"late_text":      "the model cannot take text after a tool's result",
	"late_reminder":  "the model cannot take a reminder after a tool's result",
	"odd_schema":     "the model cannot take every tool's schema",
}
