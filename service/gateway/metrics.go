package gateway

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// metrics are the gateway's counters. They are kept and written here: Prometheus's own
// client costs every command a millisecond of its start, and three megabytes.
type metrics struct {
	mu       sync.Mutex
	requests counters
	tokens   counters
	first    histograms
	queued   histograms
	duration histograms
}

// counters and histograms are by their labels, as they are written.
type (
	counters   map[string]float64
	histograms map[string]*histogram
)

// bounds are the upper ends of a histogram's buckets, in seconds.
var bounds = [...]float64{0.05, 0.125, 0.3125, 0.78125, 1.953125, 4.8828125, 12.20703125, 30.517578125, 76.2939453125, 190.73486328125}

type histogram struct {
	buckets [len(bounds)]int // how many were at most so long
	count   int
	sum     float64
}

func newMetrics() *metrics {
	return &metrics{requests: counters{}, tokens: counters{}, first: histograms{}, queued: histograms{}, duration: histograms{}}
}

func (m *metrics) observe(r *Record) {
	model := label("model", r.Model)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[label("error", string(r.Error))+","+model+","+label("status", strconv.Itoa(r.Status))]++
	m.duration.observe(model, r.Duration)
	m.queued.observe(model, r.Queued)
	if r.TTFT > 0 {
		m.first.observe(model, r.TTFT)
	}
	m.tokens[`kind="input",`+model] += float64(r.InputTokens - r.CachedTokens)
	m.tokens[`kind="cached",`+model] += float64(r.CachedTokens)
	m.tokens[`kind="output",`+model] += float64(r.OutputTokens)
}

func (all histograms) observe(labels string, milliseconds int64) {
	h := all[labels]
	if h == nil {
		h = &histogram{}
		all[labels] = h
	}
	seconds := float64(milliseconds) / 1000
	for i, bound := range bounds {
		if seconds <= bound {
			h.buckets[i]++
		}
	}
	h.count++
	h.sum += seconds
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func label(name, value string) string {
	return name + `="` + escape.Replace(strings.ToValidUTF8(value, "\uFFFD")) + `"`
}

// Metrics serves the counters as OpenMetrics, or as Prometheus's older text to clients that do not ask for it.
func (g *Gateway) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := metricsText{open: strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text")}
		format := "text/plain; version=0.0.4"
		if t.open {
			format = "application/openmetrics-text; version=1.0.0"
		}
		w.Header().Set("Content-Type", format+"; charset=utf-8; escaping=underscores")
		w.Header().Set("Vary", "Accept")
		g.metrics.write(&t, g.Snapshot())
		_, _ = io.WriteString(w, t.String())
	})
}

func (m *metrics) write(t *metricsText, now Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.histograms("first_token_seconds", "From a request's arrival to the first piece of content.", m.first)
	t.histograms("queued_seconds", "Time that a request waited for its turn.", m.queued)
	t.histograms("request_seconds", "From a request's arrival to its end.", m.duration)
	t.gauge("requests_running", "Requests at the engine.", now.Running)
	t.counters("requests", "Messages requests that ended.", m.requests)
	t.gauge("requests_waiting", "Requests in the queue.", now.Waiting)
	t.gauge("sessions", "Sessions that the gateway remembers.", len(now.Sessions))
	t.counters("tokens", "Tokens: input (read by the engine), cached (taken from its cache), output.", m.tokens)
	if t.open {
		t.WriteString("# EOF\n")
	}
}

// metricsText is OpenMetrics, or Prometheus's text format 0.0.4, which differs in how
// counters are announced and whole numbers are written.
type metricsText struct {
	strings.Builder
	open bool
}

func (t *metricsText) announce(name, help, kind string) {
	fmt.Fprintf(t, "# HELP switchyard_%s %s\n# TYPE switchyard_%[1]s %[3]s\n", name, help, kind)
}

func (t *metricsText) number(v float64) string {
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if t.open && !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

func (t *metricsText) gauge(name, help string, v int) {
	t.announce(name, help, "gauge")
	fmt.Fprintf(t, "switchyard_%s %s\n", name, t.number(float64(v)))
}

func (t *metricsText) counters(name, help string, all counters) {
	if len(all) == 0 {
		return
	}
	announced := name + "_total"
	if t.open {
		announced = name
	}
	t.announce(announced, help, "counter")
	for _, labels := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(t, "switchyard_%s_total{%s} %s\n", name, labels, t.number(all[labels]))
	}
}

func (t *metricsText) histograms(name, help string, all histograms) {
	if len(all) == 0 {
		return
	}
	t.announce(name, help, "histogram")
	for _, labels := range slices.Sorted(maps.Keys(all)) {
		h := all[labels]
		for i, bound := range bounds {
			fmt.Fprintf(t, "switchyard_%s_bucket{%s,le=\"%s\"} %d\n", name, labels, t.number(bound), h.buckets[i])
		}
		fmt.Fprintf(t, "switchyard_%s_bucket{%s,le=\"+Inf\"} %d\n", name, labels, h.count)
		fmt.Fprintf(t, "switchyard_%s_sum{%s} %s\n", name, labels, t.number(h.sum))
		fmt.Fprintf(t, "switchyard_%s_count{%s} %d\n", name, labels, h.count)
	}
}
