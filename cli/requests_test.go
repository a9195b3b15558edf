package cli

import (
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway"
	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

func TestWhatIsRemarkableAboutARequest(t *testing.T) {
	for _, tt := range []struct {
		record gateway.Record
		want   string
	}{
		{gateway.Record{}, ""},
		{gateway.Record{Cut: true}, "answer hit the output limit"},
		{gateway.Record{Error: gateway.Overflow, Cut: true}, "too long for the context: Claude Code compacts"},
		{gateway.Record{Error: gateway.Malformed}, "malformed_request"},
		{gateway.Record{Notes: []shape.Note{shape.DocumentLeftOut, shape.ImageUnseen}}, "document left out (it is not text), image left out (the model cannot see images)"},
		{gateway.Record{Cut: true, Notes: []shape.Note{shape.ControlWords}}, "answer hit the output limit: control words broken up"},
		{gateway.Record{Purpose: gateway.Proof, Cut: true}, "proof"}, // its answers are cut short on purpose
		{gateway.Record{Purpose: gateway.Proof, Error: gateway.Malformed}, "proof: malformed_request"},
	} {
		if got := note(tt.record); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.record, got, tt.want)
		}
	}
}

func TestTheTotalsLeaveOutWhatSwitchyardAsked(t *testing.T) {
	var sums totals
	sums.add(gateway.Record{Purpose: gateway.Proof, Cut: true, Notes: []shape.Note{shape.ImageUnseen}})
	if got := sums.text(); got != "" {
		t.Errorf("%q", got)
	}
	sums.add(gateway.Record{SessionID: "s1", Model: "docker.io/ai/x:latest", InputTokens: 7, Notes: []shape.Note{shape.ImageUnseen}})
	sums.add(gateway.Record{SessionID: "s1", Model: "docker.io/ai/x:latest", Notes: []shape.Note{shape.ImageUnseen, shape.ControlWords}})
	got := sums.text()
	for _, line := range []string{"s1  ", "\n2 requests changed for the model: image left out (the model cannot see images)\n", "1 request changed for the model: control words broken up\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

func TestAProofInALine(t *testing.T) {
	for _, tt := range []struct {
		proof proofJSON
		want  string
	}{
		{proofJSON{Name: "tool_call", OK: true, MS: 7, Detail: "called"}, "✓ tool call            7 ms  called\n"},
		{proofJSON{Name: "tool_call", Detail: "only text", Remedy: "choose another"}, "✗ tool call            0 ms  only text\n  → choose another\n"},
		{proofJSON{Name: "odd_schema", Minor: true, Detail: "refused", Remedy: "use the gateway"}, "! odd schema           0 ms  refused\n  → use the gateway\n"},
	} {
		if got := tt.proof.text(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
