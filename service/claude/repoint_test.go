package claude

import (
	"strings"
	"testing"
)

func TestRepoint(t *testing.T) {
	to := Destination{BaseURL: "http://127.0.0.1:12480", Token: "switchyard-secret", Way: Gateway, Direct: destination.BaseURL}
	const original = "{\n\t\"env\": {\"ANTHROPIC_AUTH_TOKEN\": \"mine\", \"X\": \"1\"}\n}"
	tests := []struct {
		name  string
		route Route
		edit  func(string) string // by another program, after the switch
		led   bool
		after string // the file when it is back in the cloud
	}{
		{"local", Local, nil, true, original},
		{"offline", Offline, nil, true, original},
		{"a stranger's other change stays", Local, func(s string) string { return strings.Replace(s, `"X": "1"`, `"X": "2"`, 1) }, true, strings.Replace(original, `"X": "1"`, `"X": "2"`, 1)},
		{"a changed token is set again: nothing would answer it", Local, func(s string) string { return strings.Replace(s, `"switchyard"`, `"stale"`, 1) }, true, ""},
		{"a changed address is respected", Local, func(s string) string { return strings.Replace(s, destination.BaseURL, "https://mine", 1) }, false, ""},
		{"a broken file is left", Local, func(s string) string { return s[:len(s)-1] }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			h.put(t, original)
			h.to(t, tt.route)
			if tt.edit != nil {
				h.put(t, tt.edit(h.get(t)))
			}
			before := h.get(t)
			if _, err := h.ledger.Repoint(t.Context(), h.Target, to); err != nil && tt.led {
				t.Fatal(err)
			}
			status, err := h.ledger.Inspect(h.Target)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.led {
				if h.get(t) != before || status.Way == Gateway && status.Route != Cloud {
					t.Errorf("%+v\n%s", status, h.get(t))
				}
				return
			}
			if status.Route != tt.route || status.BaseURL != to.BaseURL || status.Token != to.Token || status.Way != Gateway || status.Direct != to.Direct || status.Model != destination.Model || status.Context != destination.Context {
				t.Errorf("%+v", status)
			}
			h.to(t, Cloud)
			if got := h.get(t); tt.after != "" && got != tt.after {
				t.Errorf("back in the cloud\n%s\nwant\n%s", got, tt.after)
			}
		})
	}
}

func TestRepointLeavesTheCloudAlone(t *testing.T) {
	h := newHome(t)
	h.put(t, "{}")
	for range 2 { // never switched, and back in the cloud
		if out, err := h.ledger.Repoint(t.Context(), h.Target, Destination{BaseURL: "http://x", Token: "y"}); err != nil || out.Changed || h.get(t) != "{}" {
			t.Errorf("%+v %v %s", out, err, h.get(t))
		}
		h.to(t, Local)
		h.to(t, Cloud)
	}
}
