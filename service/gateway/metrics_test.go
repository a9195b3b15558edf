package gateway

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// The files are what Prometheus's own client (client_golang 1.25) wrote of these records.
func TestMetrics(t *testing.T) {
	g := New(Options{})
	for _, r := range []Record{
		{Model: "ai/m", Status: 200, Duration: 4200, TTFT: 50, InputTokens: 1000, CachedTokens: 900, OutputTokens: 20},
		{Model: "ai/m", Status: 200, Duration: 1000000, Queued: 130, InputTokens: 1000, OutputTokens: 20},
		{Model: "a\\\"b\nü", Status: 504, Error: "gone", Duration: 10, InputTokens: 12345678901, OutputTokens: 3},
	} {
		g.metrics.observe(&r)
	}
	for _, tt := range []struct{ accept, format, file string }{
		{"", "text/plain; version=0.0.4", "metrics.txt"},
		{"*/*", "text/plain; version=0.0.4", "metrics.txt"},
		{"application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text; version=1.0.0", "openmetrics.txt"},
	} {
		want, err := os.ReadFile("testdata/" + tt.file)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", tt.accept)
		g.Metrics().ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); got != tt.format+"; charset=utf-8; escaping=underscores" {
			t.Errorf("%s: %s", tt.accept, got)
		}
		if w.Body.String() != string(want) {
			t.Errorf("%s:\n%s", tt.accept, w.Body)
		}
	}
}
