package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/switchyard-app/switchyard/service/claude"
	"github.com/switchyard-app/switchyard/service/engine"
	"github.com/switchyard-app/switchyard/service/runner"
)

func TestTheErrorsOfTheLeavesInWords(t *testing.T) {
	at := runner.Endpoint{URL: "http://127.0.0.1:12434"}
	silent := &runner.Error{Endpoint: at, Doing: "listing models", Why: "nothing answers", Remedy: "start it."}
	sick := &runner.Error{Endpoint: at, Status: 500, Why: "it is ill", Remedy: "restart it"}
	for _, tt := range []struct {
		name        string
		err         error
		kind        Kind
		why, remedy string
	}{
		{"anything else", errors.New("disk full."), Failed, "disk full", "try again; if it stays, switchyard status shows what is wrong"},
		{"our own", fmt.Errorf("more: %w", &Error{Kind: Refused, What: "else", Why: "no", Remedy: "yes"}), Refused, "no", "yes"},
		{"a pull", &runner.PullError{Ref: "ai/x", Why: "no such model", Remedy: "check the name"}, Failed, "no such model", "check the name"},
		{"a file", &claude.Refusal{File: "/f", Line: 3, Column: 4, Why: "a comma is missing", Remedy: "correct it"}, Refused, "/f:3:4: a comma is missing", "correct it"},
		{"another switch", &claude.BusyError{Holder: "7"}, Refused, "another Switchyard (process 7) is switching this target", "try again when it is done"},
		{"a person's wish", fmt.Errorf("proving: %w", context.Canceled), Failed, "it was interrupted", "nothing was changed; try again"},
		{"no such model", &runner.UnknownModelError{Name: "ai/x"}, Refused, "Model Runner has no model ai/x", "pull it: switchyard pull ai/x"},
		{"no model", &runner.UnknownModelError{}, Refused, "Model Runner has no model", "pull one, for example: switchyard pull ai/qwen3-coder"},
		{"nothing answers", silent, Unreachable, "Model Runner at http://127.0.0.1:12434: nothing answers", "start it"},
		{"it answers badly", sick, Unreachable, "Model Runner at http://127.0.0.1:12434: it is ill", "restart it"},
		{"a proof", &runner.ProofError{Proof: runner.Proof{Name: "tool_call", Detail: "it wrote text", Remedy: "take another"}}, Refused, "the model cannot call tools: it wrote text", "take another"},
		{"a proof that got no answer", &runner.ProofError{Proof: runner.Proof{Name: "runner", Detail: "nothing answers", Err: silent}}, Unreachable, "Model Runner at http://127.0.0.1:12434: nothing answers", "start it"},
		{"a proof that got an error", &runner.ProofError{Proof: runner.Proof{Name: "message", Detail: "it is ill", Remedy: "restart it", Err: sick}}, Refused, "the model does not answer: it is ill", "restart it"},
		{"a proof of a model that is not there", &runner.ProofError{Proof: runner.Proof{Name: "model", Err: &runner.UnknownModelError{Name: "ai/x"}}}, Refused, "Model Runner has no model ai/x", "pull it: switchyard pull ai/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var e *Error
			if !errors.As(Wrap("switching", tt.err), &e) {
				t.Fatal("it is none of ours")
			}
			if e.What != "switching" || e.Kind != tt.kind || e.Why != tt.why || e.Remedy != tt.remedy {
				t.Errorf("%d %q %q", e.Kind, e.Why, e.Remedy)
			}
			if !errors.Is(e, tt.err) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestEveryProofHasASentence(t *testing.T) {
	for _, name := range runner.Proofs() {
		if proofWords[name] == "" {
			t.Errorf("%s has none", name)
		}
	}
}

func TestWhatTouchedNothingIsRefused(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{errors.New("x"), Refused},
		{&Error{Kind: Failed}, Refused},
		{&Error{Kind: Unreachable}, Unreachable},
	} {
		var e *Error
		if err := WrapRefused("switching", tt.err); !errors.As(err, &e) || e.Kind != tt.want {
			t.Errorf("%v: %v", tt.err, err)
		}
	}
}

func TestTheErrorsOfAnEngine(t *testing.T) {
	for code, want := range map[string]Kind{
		engine.Failed: Failed, engine.DockerDown: Unreachable, engine.DockerHangs: Unreachable, engine.DesktopDown: Unreachable, engine.TCPOff: Unreachable,
		engine.NotOurs: Refused, engine.NotInstalled: Refused, engine.NoPlugin: Refused, engine.NoProgram: Refused, engine.NoLlamaServer: Refused,
		engine.PortTaken: Refused, engine.DockerDenied: Refused, engine.DockerRemote: Refused, engine.NoDocker: Refused,
	} {
		err := &engine.Error{Code: code, Why: "why", Remedy: "do"}
		if e := WrapEngine("starting", err); e.Kind != want || e.Why != "why" || e.Remedy != "do" || !errors.Is(e, err) {
			t.Errorf("%s: %+v", code, e)
		}
	}
	if e := WrapEngine("starting", errors.New("x")); e.Kind != Failed || e.Why != "x" || e.Remedy == "" {
		t.Errorf("%+v", e)
	}
}

func TestReasonAndRemedyApart(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&claude.Refusal{File: "/f", Line: 3, Why: "no", Remedy: "do"}, "/f:3: no\n→ do"},
		{fmt.Errorf("x: %w", &Error{What: "w", Why: "no", Remedy: "do"}), "no\n→ do"},
		{errors.New("no"), "no\n→ try again"},
	} {
		if got := Text(tt.err); got != tt.want {
			t.Errorf("%q", got)
		}
	}
	if got := RunnerReason(fmt.Errorf("x: %w", &runner.Error{Why: "nothing answers"})); got != "nothing answers" {
		t.Errorf("%q", got)
	}
	if got := RunnerReason(errors.New("x")); got != "x" {
		t.Errorf("%q", got)
	}
	if got := (&Error{What: "pulling x", Why: "no", Remedy: "do"}).Error(); got != "pulling x: no; do" {
		t.Errorf("%q", got)
	}
}
