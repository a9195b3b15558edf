package gateway

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the gateway's counters, in a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	first    *prometheus.HistogramVec
	queued   *prometheus.HistogramVec
	duration *prometheus.HistogramVec
}

func newMetrics(g *Gateway) *metrics {
	seconds := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "switchyard_" + name + "_seconds", Help: help, Buckets: prometheus.ExponentialBuckets(0.05, 2.5, 10),
		}, []string{"model"})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_requests_total", Help: "Messages requests that ended."}, []string{"model", "status", "error"}),
		tokens:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_tokens_total", Help: "Tokens: input (read by the engine), cached (taken from its cache), output."}, []string{"model", "kind"}),
		first:    seconds("first_token", "From a request's arrival to the first piece of content."),
		queued:   seconds("queued", "Time that a request waited for its turn."),
		duration: seconds("request", "From a request's arrival to its end."),
	}
	gauge := func(name, help string, read func(Snapshot) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "switchyard_" + name, Help: help}, func() float64 { return float64(read(g.Snapshot())) })
	}
	m.registry.MustRegister(m.requests, m.tokens, m.first, m.queued, m.duration,
		gauge("requests_running", "Requests at the engine.", func(s Snapshot) int { return s.Running }),
		gauge("requests_waiting", "Requests in the queue.", func(s Snapshot) int { return s.Waiting }),
		gauge("sessions", "Sessions that the gateway remembers.", func(s Snapshot) int { return len(s.Sessions) }))
	return m
}

func (m *metrics) observe(r *Record) {
	m.requests.WithLabelValues(r.Model, strconv.Itoa(r.Status), string(r.Error)).Inc()
	m.duration.WithLabelValues(r.Model).Observe(float64(r.Duration) / 1000)
	m.queued.WithLabelValues(r.Model).Observe(float64(r.Queued) / 1000)
	if r.TTFT > 0 {
		m.first.WithLabelValues(r.Model).Observe(float64(r.TTFT) / 1000)
	}
	m.tokens.WithLabelValues(r.Model, "input").Add(float64(r.InputTokens - r.CachedTokens))
	m.tokens.WithLabelValues(r.Model, "cached").Add(float64(r.CachedTokens))
	m.tokens.WithLabelValues(r.Model, "output").Add(float64(r.OutputTokens))
}

// Metrics serves the counters as OpenMetrics.
func (g *Gateway) Metrics() http.Handler {
	return promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
